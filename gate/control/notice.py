"""The notice page: where an unfiled HTTP visitor lands.

One fixed page for each reason, in Chinese and English, without script, images or requests of
its own. The query (`?domain=NAME&reason=REASON`) comes from anyone, so it chooses among texts
and is never echoed: the domain is shown only as `gate.names` spells it, and escaped.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from aiohttp import web

from gate.control.notice_text import GENERAL, NOTICES, Words
from gate.names import InvalidName, canonical, to_display

_FILES = files("gate.control")
_STYLE: Final = (_FILES / "notice.css").read_text(encoding="utf-8")
_PAGE: Final = Template((_FILES / "notice.html").read_text(encoding="utf-8"))
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Language": "zh-CN, en",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "interest-cohort=()",
    "Referrer-Policy": "no-referrer",
    "Server": "gate",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


def page(reason: str, domain: str) -> str:
    """The page's HTML; an unknown reason gives the general text, an invalid domain is left out."""
    notice = NOTICES.get(reason, GENERAL)
    shown = _domain(domain)
    return _PAGE.substitute(
        style=_STYLE,
        reason=reason if reason in NOTICES else "-",
        **_words("zh", notice.zh, "需要办理", shown),
        **_words("en", notice.en, "Filing due", shown),
    )


def _words(prefix: str, words: Words, due: str, shown: str) -> dict[str, str]:
    """The placeholders of one language."""
    steps = "".join(f"<li>{step}</li>\n" for step in words.owner)
    return {
        f"{prefix}_title": words.title,
        f"{prefix}_why": words.why,
        f"{prefix}_domain": f'<p class="domain">{shown}</p>\n' if shown else "",
        f"{prefix}_due": f'<p class="due"><span>{due}</span><strong>{words.due}</strong></p>\n'
        if words.due
        else "",
        f"{prefix}_owner": f"<ol>\n{steps}</ol>"
        if len(words.owner) > 1
        else f"<p>{words.owner[0]}</p>",
    }


def _domain(text: str) -> str:
    """The domain as HTML: its Unicode form, and the A-label form where that differs."""
    try:
        name = canonical(text.encode("utf-8", "replace")).name
    except InvalidName:
        return ""
    display = to_display(name)
    if display == name:
        return escape(name)
    return f'<bdi>{escape(display)}</bdi><small translate="no">{escape(name)}</small>'


async def _answer(request: web.Request) -> web.Response:
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, headers={"Allow": "GET, HEAD", "Server": "gate"})
    query = request.rel_url.query
    text = page(query.get("reason", ""), query.get("domain", ""))
    return web.Response(body=text.encode(), headers=HEADERS)


def notice_app() -> web.Application:
    """The application of the notice listener: every path is the page."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _answer)
    return app
