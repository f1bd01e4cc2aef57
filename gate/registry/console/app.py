"""The console's application: sign-in by token, encrypted cookies, no script, strict headers.

It stands under `/console/` of the registry's port. Pages are written on the server, and need no
script. A session is a cookie that only the registry can read: it holds the token, which is looked
up with every request, so that one that was revoked is out at once; and a secret that every form
sends back, so that no other site can send one.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import logging
import os
import secrets
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiohttp_jinja2
import jinja2
from aiohttp import web
from aiohttp.typedefs import Middleware
from aiohttp_session import get_session, new_session
from aiohttp_session import setup as setup_sessions
from aiohttp_session.cookie_storage import EncryptedCookieStorage

from gate.files import draft
from gate.registry.commands import Role
from gate.registry.console import entering, pages, sighted
from gate.registry.console.forms import FORM, read_form
from gate.registry.console.naming import field_name
from gate.registry.console.pages import ACTOR, CSRF, SERVICE
from gate.registry.errors import RegistryError
from gate.registry.fields import MAX_TEXT
from gate.registry.orders.working_days import CHINA
from gate.registry.service import RegistryService
from gate.registry.tokens import authenticate

_log = logging.getLogger(__name__)

PREFIX: Final = "/console"
_HERE: Final = Path(__file__).parent
_SESSION_SECONDS: Final = 8 * 3_600
_KEY_FILE: Final = "console.key"
_KEY_BYTES: Final = 32
_STATIC: Final = {"console.css": "text/css", "icon.svg": "image/svg+xml"}

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_console(service: RegistryService, *, secure: bool) -> web.Application:
    """Return the console on a service.

    `secure` is for https.
    """
    # aiohttp-session keeps its things under plain names, which aiohttp would rather not see.
    warnings.filterwarnings("ignore", category=web.NotAppKeyWarning, module="aiohttp_session")
    app = web.Application()
    storage = EncryptedCookieStorage(
        _key([service.keys_dir, service.folder]),
        cookie_name="gate_console",
        path=PREFIX,
        max_age=_SESSION_SECONDS,
        httponly=True,
        secure=secure,
        samesite="Strict",
    )
    setup_sessions(app, storage)
    app.middlewares.append(_guarded())
    app[SERVICE] = service
    aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        filters=_FILTERS,
    )
    app.router.add_get("/login", login_page, name="login")
    app.router.add_post("/login", login)
    app.router.add_post("/logout", logout)
    app.router.add_get("/static/{name}", static)
    app.add_routes([*entering.ROUTES, *pages.ROUTES, *sighted.ROUTES])
    return app


async def login_page(request: web.Request) -> web.Response:
    """Return where a token is asked for."""
    return _render("login.html", request, {"error": None})


async def login(request: web.Request) -> web.StreamResponse:
    """Sign in by token."""
    service = request.app[SERVICE]
    form = await read_form(request)
    text = form.get("token", "").strip()
    try:
        actor = await service.read(authenticate, text, now=service.registry.now())
    except RegistryError as error:
        _log.warning("the console refused a token")
        return _render("login.html", request, {"error": error}, status=401)
    if actor.role is Role.VERIFIER:
        refusal = RegistryError("role_insufficient", needed=Role.OWNER, role=actor.role)
        return _render("login.html", request, {"error": refusal}, status=403)
    session = await new_session(request)
    session["token"] = text
    session["csrf"] = secrets.token_urlsafe(32)
    return pages.redirect(f"{PREFIX}/")


async def logout(request: web.Request) -> web.StreamResponse:
    """End the session."""
    session = await get_session(request)
    session.invalidate()
    return pages.redirect(f"{PREFIX}/login")


async def static(request: web.Request) -> web.StreamResponse:
    """Return one of the console's own files."""
    name = request.match_info["name"]
    if name not in _STATIC:
        raise RegistryError("path_unknown")
    text = (_HERE / "static" / name).read_text(encoding="utf-8")
    headers = {"Cache-Control": "private, max-age=3600"}
    return web.Response(text=text, content_type=_STATIC[name], headers=headers)


def _guarded() -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handle) -> web.StreamResponse:
        """Know who asks, refuse forms of other sites, tell refusals as pages, set the headers."""
        try:
            response = await _answer(request, handler)
        except RegistryError as error:
            response = _render("refused.html", request, {"error": error}, status=error.status)
        except web.HTTPException as error:
            refusal = RegistryError("path_unknown")
            if isinstance(error, web.HTTPMethodNotAllowed):
                refusal = RegistryError("method_refused", method=request.method)
            response = _render("refused.html", request, {"error": refusal}, status=error.status)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return guard


async def _answer(request: web.Request, handler: Handle) -> web.StreamResponse:
    path = request.path.removeprefix(PREFIX)
    if path.startswith("/static/"):
        return await handler(request)
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "same-origin") not in (
        "same-origin",
        "none",
    ):
        raise RegistryError("form_foreign")
    if path == "/login":
        return await handler(request)
    service = request.app[SERVICE]
    session = await get_session(request)
    try:
        actor = await service.read(
            authenticate, str(session.get("token", "")), now=service.registry.now()
        )
    except RegistryError as error:
        if error.code != "token_invalid":
            raise
        session.invalidate()
        return pages.redirect(f"{PREFIX}/login")
    request[ACTOR] = actor
    request[CSRF] = str(session["csrf"])
    _refuse_nul(request.query)
    if request.method == "POST":
        form = await read_form(request)
        _refuse_nul(form)
        if not hmac.compare_digest(form.get("csrf", "").encode(), request[CSRF].encode()):
            raise RegistryError("form_foreign")
        request[FORM] = form
    return await handler(request)


def _refuse_nul(values: Mapping[str, Any]) -> None:
    """Refuse U+0000, which no database keeps. Raises RegistryError `text_invalid`."""
    for name, value in values.items():
        if "\0" in str(value):
            raise RegistryError("text_invalid", field=name[:64], limit=MAX_TEXT)


def _render(
    template: str, request: web.Request, context: dict[str, Any], *, status: int = 200
) -> web.Response:
    return pages.render(template, request, context, status=status)


def _key(folders: Sequence[Path]) -> bytes:
    """Return the key of the cookies: from the first folder that has one, or can be written to.

    Registries that share a folder of keys share it, so that who is signed in to one is to all.
    Raises OSError.
    """
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            found = _kept_key(folder / _KEY_FILE)
            if found is not None:
                return found
    made = base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES))
    for folder in folders:
        path = folder / _KEY_FILE
        try:
            with draft(folder, f".{_KEY_FILE}.") as new:
                new.file.write(made)
                new.sync()
                os.link(new.name, path)
        except FileExistsError:  # another registry was first
            pass
        except OSError:
            if folder is folders[-1]:
                raise
            continue
        return base64.urlsafe_b64decode(path.read_bytes())
    raise AssertionError("there is no folder for the console's key")


def _kept_key(path: Path) -> bytes | None:
    """Return the key in a file; None for a damaged one, which is set aside. Raises OSError."""
    text = path.read_bytes()
    try:
        key = base64.urlsafe_b64decode(text)
        if len(key) == _KEY_BYTES:
            return key
    except ValueError:
        pass
    aside = path.with_name(f"{path.name}.bad")
    path.replace(aside)
    _log.warning("%s is no key; it is kept as %s, all have to sign in anew", path, aside)
    return None


def _time(seconds: float) -> str:
    """Return a time in China, to the minute."""
    return datetime.fromtimestamp(seconds, CHINA).strftime("%Y-%m-%d %H:%M")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, CHINA).strftime("%Y-%m-%d")


_FILTERS: Final[dict[str, Callable[..., Any]]] = {"time": _time, "day": _day, "field": field_name}
