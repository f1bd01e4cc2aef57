"""The status page at the admin port: read only, with all that it needs inside it.

The page holds no figures; its script asks /v1/status for them, and so sees what the caller may.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from aiohttp import web

from gate.control.inlined import source, style

_FILES = files("gate.control.page")


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


_STYLE: Final = style("gate.control.page", "page.css")
_SCRIPT: Final = _read("page.js")
PAGE: Final = _read("page.html").replace("$style", _STYLE, 1).replace("$script", _SCRIPT, 1)

HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {source(_STYLE)}; script-src {source(_SCRIPT)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


async def show_page(request: web.Request) -> web.Response:
    """Return the page."""
    return web.Response(text=PAGE, headers=HEADERS)
