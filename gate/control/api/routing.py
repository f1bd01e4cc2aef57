"""/v1/routes: the routes of upstreams.routes_file, one by one and all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Final, Literal, Self

from aiohttp import web
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from gate.control.api.access import Access
from gate.control.api.blocked import MOST
from gate.control.api.endpoint import AdminCall, AdminEndpoint
from gate.control.api.overriding import By, plain_text
from gate.control.api.problems import Refusal
from gate.control.api.service import unconfirmed
from gate.control.blocked.turns import in_turns
from gate.control.operators.routes import (
    BadSet,
    NoRoutesFile,
    RoutesError,
    RoutesUnreadable,
    RoutesUnwritable,
    SetChange,
)
from gate.control.workers import Unconfirmed
from gate.net.model import Model
from gate.settings import RouteLine, RouteMatch, pool_of, split_match, words_of

MOST_BYTES: Final = 32 * 1024 * 1024
"""The largest file of routes that is taken."""
_PIECE_SECONDS: Final = 30.0

_match = TypeAdapter(RouteMatch).validate_python

Addresses = Annotated[
    tuple[str, ...],
    Field(max_length=256, description="ADDRESS:PORT of each, an IP address; used in turn."),
]
Reason = Annotated[
    str,
    AfterValidator(plain_text),
    Field(max_length=500, description="Why, for the audit log."),
]


class RouteBody(Model):
    """The pool of a route, with at least one address."""

    http: Addresses = ()
    tls: Addresses = ()
    quic: Addresses = Field((), description="As `tls`, if there is none.")
    send_proxy: Literal["off", "v1", "v2"] = Field(
        "off", description="Begin each connection with a PROXY protocol header."
    )
    reason: Reason = ""
    by: By = ""


class WhyQuery(Model):
    """Who asks for it, and why."""

    reason: Reason = ""
    by: By = ""


class SetQuery(WhyQuery):
    """Whether to look only."""

    dry_run: bool = Field(False, description="Say what would change, and change nothing.")


class RoutesQuery(Model):
    """Which routes, and how many."""

    domain: str | None = Field(
        None, max_length=300, description="Only routes for this name, or for names below it."
    )
    limit: int = Field(1000, ge=1, le=MOST)


class RouteView(Model):
    """A route. `match` is the name, `*.` with a domain for all names below it, or `.` with a domain
    for both; `file` and `line` say where it stands."""

    match: str
    http: tuple[str, ...]
    tls: tuple[str, ...]
    quic: tuple[str, ...]
    send_proxy: str
    file: str
    line: int

    @classmethod
    def of(cls, route: RouteLine) -> Self:
        """Return the view of a line of the file."""
        pool = pool_of(route.words)
        return cls(
            match=route.match,
            http=tuple(map(str, pool.http)),
            tls=tuple(map(str, pool.tls)),
            quic=tuple(map(str, pool.quic)),
            send_proxy=pool.send_proxy,
            file=str(route.file),
            line=route.line,
        )


class RouteList(Model):
    """Routes in the order in which they stand; `total` are those that the query asks for."""

    routes_file: str
    total: int
    items: tuple[RouteView, ...]


class SetView(Model):
    """What a whole new set of routes changes in `file`; `total` are all routes then."""

    file: str
    added: int
    changed: int
    removed: int
    total: int

    @classmethod
    def of(cls, change: SetChange) -> Self:
        """Return the view of a change."""
        return cls(
            file=str(change.file),
            added=change.added,
            changed=change.changed,
            removed=change.removed,
            total=change.total,
        )


_CODES: Final[dict[type[RoutesError], tuple[HTTPStatus, str]]] = {
    NoRoutesFile: (HTTPStatus.CONFLICT, "routes_unset"),
    RoutesUnreadable: (HTTPStatus.CONFLICT, "routes_unreadable"),
    RoutesUnwritable: (HTTPStatus.SERVICE_UNAVAILABLE, "not_kept"),
    BadSet: (HTTPStatus.UNPROCESSABLE_ENTITY, "routes_invalid"),
}


@asynccontextmanager
async def _refusing() -> AsyncIterator[None]:
    try:
        yield
    except RoutesError as error:
        raise Refusal(*_CODES[type(error)], str(error)) from error
    except Unconfirmed as error:
        raise unconfirmed(error) from error


async def find(call: AdminCall) -> web.Response:
    """Return the routes of the file."""
    query: RoutesQuery = call.query
    async with call.service.large:
        async with _refusing():
            routes = await call.service.routes.all()
            path = call.service.routes.path
        if query.domain is not None:
            domain = split_match(_canonical(query.domain, "domain"))[1]
            routes = [
                route
                for route in routes
                if f".{split_match(route.match)[1]}".endswith(f".{domain}")
            ]
        first = routes[: query.limit]
        items = [RouteView.of(route).model_dump_json() async for route in in_turns(first)]
    frame = RouteList(routes_file=str(path), total=len(routes), items=()).model_dump_json()
    # The items are its last field. To let it write them all would hold everybody else up.
    text = f"{frame.removesuffix(']}')}{','.join(items)}]}}"
    return web.Response(text=text, content_type="application/json")


async def show(call: AdminCall) -> RouteView:
    """Return one route."""
    match = _canonical(call.path["match"], "match")
    async with _refusing():
        return RouteView.of(_found(call, await call.service.routes.get(match), match))


async def put(call: AdminCall) -> RouteView:
    """Write a route down, in place of the one of its match; in force when this answers."""
    body: RouteBody = call.body
    match = _canonical(call.path["match"], "match")
    for number, route in enumerate(call.service.settings.upstreams.routes):
        if route.match in {match, f".{split_match(match)[1]}"}:
            raise Refusal(
                HTTPStatus.CONFLICT,
                "route_shadowed",
                f"upstreams.routes[{number}] of the settings, {route.match}, is for {match} "
                "already, and counts before the file; change it there, and reload",
                field="match",
            )
    try:
        addresses = {"http": body.http, "tls": body.tls, "quic": body.quic}
        words = words_of(addresses, body.send_proxy)
    except ValueError as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "field_invalid", str(error)) from error
    async with _refusing():
        await call.service.routes.get(match)  # what can't be changed is no change to write down
        call.service.record(
            call.caller, body.by, "set route", match, pool=words, reason=body.reason
        )
        return RouteView.of(await call.service.routes.put(match, words))


async def remove(call: AdminCall) -> RouteView:
    """Take a route away; what it was. In force when this answers."""
    query: WhyQuery = call.query
    match = _canonical(call.path["match"], "match")
    async with _refusing():
        found = _found(call, await call.service.routes.get(match), match)
        call.service.record(
            call.caller, query.by, "remove route", match, pool=found.words, reason=query.reason
        )
        return RouteView.of(_found(call, await call.service.routes.remove(match), match))


async def put_all(call: AdminCall) -> SetView:
    """Put a whole new set in the place of the file; in force when this answers."""
    query: SetQuery = call.query
    if call.request.content_type != "text/plain":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "the body is to be the lines of a routes file; send `Content-Type: text/plain`",
        )
    text = await _text(call.request)
    async with call.service.large, _refusing():
        change = await call.service.routes.compare(text)
        if not query.dry_run:
            call.service.record(
                call.caller,
                query.by,
                "replace routes",
                str(change.file),
                added=change.added,
                changed=change.changed,
                removed=change.removed,
                reason=query.reason,
            )
            change = await call.service.routes.replace(text)
    return SetView.of(change)


async def _text(request: web.Request) -> str:
    """Return the body. Raises Refusal."""
    data = bytearray()
    try:
        while piece := await asyncio.wait_for(request.content.readany(), _PIECE_SECONDS):
            data += piece
            if len(data) > MOST_BYTES:
                raise Refusal(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    "body_too_large",
                    f"more than {MOST_BYTES >> 20} MiB of routes; put them into the file itself",
                )
    except (TimeoutError, web.RequestPayloadError, ConnectionError) as error:
        raise Refusal(
            HTTPStatus.BAD_REQUEST, "body_invalid", "the body ended early or did not come in time"
        ) from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "routes_invalid",
            f"line {line}: it is not UTF-8; nothing was changed",
        ) from error


def _canonical(given: str, field: str) -> str:
    """Return a match in the form in which the file's are compared. Raises Refusal."""
    try:
        return _match(given)
    except ValidationError as error:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"{field}_invalid",
            f"{field}: {error.errors()[0]['ctx']['error']}",
            field=field,
        ) from error


def _found(call: AdminCall, route: RouteLine | None, match: str) -> RouteLine:
    if route is not None:
        return route
    raise Refusal(
        HTTPStatus.NOT_FOUND,
        "route_unknown",
        f"{call.service.routes.path} has no route for exactly {match}; GET /v1/routes, or "
        "`gate routes list`, has them all",
        field="match",
    )


ENDPOINTS = (
    AdminEndpoint(
        "GET",
        "/v1/routes",
        "showRoutes",
        "The routes of `upstreams.routes_file`",
        find,
        Access.READ,
        query=RoutesQuery,
        answer=RouteList,
    ),
    AdminEndpoint(
        "PUT",
        "/v1/routes",
        "putRoutes",
        "Put a whole new set in the file's place (in a folder: in that of `admin-api.routes`)",
        put_all,
        Access.WRITE,
        query=SetQuery,
        upload=("text/plain",),
        answer=SetView,
    ),
    AdminEndpoint(
        "GET",
        "/v1/routes/{match}",
        "showRoute",
        "One of them",
        show,
        Access.READ,
        answer=RouteView,
    ),
    AdminEndpoint(
        "PUT",
        "/v1/routes/{match}",
        "putRoute",
        "Set a route, in the file and in every worker",
        put,
        Access.WRITE,
        body=RouteBody,
        answer=RouteView,
    ),
    AdminEndpoint(
        "DELETE",
        "/v1/routes/{match}",
        "removeRoute",
        "Take a route away",
        remove,
        Access.WRITE,
        query=WhyQuery,
        answer=RouteView,
    ),
)
