"""The notice page: where an unfiled HTTP visitor lands.

One page for each reason, in Chinese and English, without script, images or requests of its own.
The query (`?domain=NAME&reason=REASON&path=PATH`) comes from anyone, so nothing in it is believed.
A domain is judged anew on this gate's replica when the page is opened: an owner whose filing has
come through sees that. It is shown only as `gate.names` spells it, and escaped. The reason of the
query counts only where there is no domain to judge; the path only leads back to a filed site.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Final
from urllib.parse import quote

from aiohttp import web

from gate.control.inlined import source, style
from gate.control.notice.texts import (
    COMMON_EN,
    COMMON_ZH,
    GENERAL,
    NOTICES,
    CommonWords,
    ReasonWords,
)
from gate.names import InvalidName, canonical, to_display
from gate.policy import Reason
from gate.replica import ReplicaError
from gate.settings import Notice
from gate.wire.http1 import wants_json

_log = logging.getLogger(__name__)

_FILES = files("gate.control.notice")
_STYLE: Final = style("gate.control.notice", "notice.css")
_PAGE: Final = Template((_FILES / "notice.html").read_text(encoding="utf-8"))

HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Language": "zh-CN, en",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {source(_STYLE)}; base-uri 'none'; "
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


Judge = Callable[[str], Reason]
"""The reason of the verdict on a host as of now. Raises ReplicaError."""

_OPEN: Final = frozenset({"filed", "exempt"})
_NAMELESS: Final = frozenset({"ip_host", "no_host"})
_PATH_LIMIT: Final = 2048


@dataclass(slots=True, frozen=True)
class Contact:
    """Whom the owner of a blocked site turns to; "" for what the settings do not say."""

    provider: str = ""
    portal: str = ""
    phone: str = ""

    @classmethod
    def of(cls, notice: Notice) -> Contact:
        """Return what the settings say."""
        return cls(notice.provider or "", notice.portal or "", notice.phone or "")


def page(reason: str, domain: str, contact: Contact = Contact(), path: str = "") -> str:
    """Return the page's HTML.

    An unknown reason gives the general text, an invalid domain is left out. `path` is where the
    link of an open site leads.
    """
    notice = NOTICES.get(reason, GENERAL)
    shown = _domain(domain)
    link = _link(domain, path) if reason in _OPEN and shown else ""
    return _PAGE.substitute(
        style=_STYLE,
        reason=reason if reason in NOTICES else "-",
        **_words("zh", notice.zh, COMMON_ZH.due, shown),
        **_words("en", notice.en, COMMON_EN.due, shown),
        **_ways("zh", COMMON_ZH, link, contact, shows=reason not in _OPEN),
        **_ways("en", COMMON_EN, link, contact, shows=reason not in _OPEN),
    )


def _words(prefix: str, words: ReasonWords, due: str, shown: str) -> dict[str, str]:
    """Return the placeholders of one language."""
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


def _ways(
    prefix: str, words: CommonWords, link: str, contact: Contact, *, shows: bool
) -> dict[str, str]:
    """Return the placeholders of one language that lead to the open site, or to the provider."""
    parts = []
    if contact.provider or contact.portal:
        name = escape(f"{contact.provider} {words.portal}".strip())
        if contact.portal:
            name = f'{words.go_to}: <a href="{escape(contact.portal)}" rel="noreferrer">{name}</a>'
        parts.append(name)
    if contact.phone:
        digits = re.sub(r"[^0-9+]", "", contact.phone)
        parts.append(f'{words.call}: <a href="tel:{digits}">{escape(contact.phone)}</a>')
    return {
        f"{prefix}_open": f'<p class="open"><a href="{link}">{words.open_site}</a></p>\n'
        if link
        else "",
        f"{prefix}_contact": f"<p>{'<br>'.join(parts)}</p>\n" if parts and shows else "",
        f"{prefix}_visitor": words.visitor_open if link else words.visitor,
    }


def _link(domain: str, path: str) -> str:
    """Return the address of the site, as HTML; `path` is kept where it is the path of a site."""
    name = canonical(domain.encode("utf-8", "replace")).name
    if not path.startswith("/") or len(path) > _PATH_LIMIT:
        path = "/"
    return escape(f"http://{name}{quote(path, safe='/?&=+,;:@!$*()~%-._')}")


def _domain(text: str) -> str:
    """Return the domain as HTML: its Unicode form, and the A-label form where that differs."""
    try:
        name = canonical(text.encode("utf-8", "replace")).name
    except InvalidName:
        return ""
    display = to_display(name)
    if display == name:
        return escape(name)
    return f'<bdi>{escape(display)}</bdi><small translate="no">{escape(name)}</small>'


class NoticePage:
    """The page for one request: what the query asks for, as it is by now."""

    def __init__(self, contact: Contact = Contact(), judge: Judge | None = None) -> None:
        self._contact = contact
        self._judge = judge

    async def answer(self, request: web.Request) -> web.Response:
        """Answer any path with the page, or with a problem document for who wants JSON."""
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD", "Server": "gate"})
        query = request.rel_url.query
        domain = query.get("domain", "")
        reason = self._reason(query.get("reason", ""), domain)
        if wants_json(",".join(request.headers.getall("Accept", [])).lower()):
            return _problem(reason, domain, self._contact)
        text = page(reason, domain, self._contact, query.get("path", ""))
        return web.Response(body=text.encode(), headers=HEADERS)

    def _reason(self, asked: str, domain: str) -> str:
        """Return what holds for the domain as of now; what was asked for where there is none."""
        if self._judge is None or not domain:
            return asked
        try:
            host = canonical(domain.encode("utf-8", "replace"))
        except InvalidName:
            return asked if asked in _NAMELESS else ""
        if host.ip is not None:
            return Reason.IP_HOST
        try:
            return self._judge(host.name)
        except ReplicaError as error:
            _log.warning("the notice page cannot judge a domain: %s", error)
            return ""


def _problem(reason: str, domain: str, contact: Contact) -> web.Response:
    """Return the same for programs, as a problem document (RFC 9457)."""
    notice = NOTICES.get(reason, GENERAL)
    opened = reason in _OPEN
    fields = {
        "type": "about:blank",
        "title": notice.en.title,
        "status": 200 if opened else 451,
        "detail": notice.en.why,
        "reason": reason if reason in NOTICES else None,
        "due": notice.en.due or None,
        "provider": contact.provider or None,
        "portal": contact.portal or None,
        "phone": contact.phone or None,
    }
    with contextlib.suppress(InvalidName):
        fields["domain"] = canonical(domain.encode("utf-8", "replace")).name or None
    headers = {**HEADERS, "Content-Type": "application/problem+json"}
    del headers["Content-Language"]
    body = json.dumps({key: value for key, value in fields.items() if value is not None})
    return web.Response(status=200 if opened else 451, body=body.encode(), headers=headers)


def notice_app(contact: Contact = Contact(), judge: Judge | None = None) -> web.Application:
    """Return the application of the notice listener: every path is the page."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", NoticePage(contact, judge).answer)
    return app
