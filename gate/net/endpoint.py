"""An endpoint is declared once: its route, its checks and its documentation come from that.

The admin port and the registry have each an `Api`: what its handlers work with, whom it lets in,
and how it words a refusal.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from gate.net.errors import NetError
from gate.net.model import Model
from gate.net.openapi import Operation

ENDPOINT: Final = web.RequestKey("endpoint", str)
"""Of a request: the name of its endpoint."""

_NUL: Final = rb"\u0000"
"""As JSON has to write it."""
_LONGEST_NAME: Final = 64  # of a query's parameter that is told of

Service = TypeVar("Service")
Who = TypeVar("Who")
Access = TypeVar("Access")
M = TypeVar("M", bound=BaseModel)

# The generic classes have no slots: with them a frozen one cannot be made by an alias, for `typing`
# sets an attribute on what it has made (Python 3.11).


class NoQuery(Model):
    """An endpoint without query parameters."""


class Mistake(Enum):
    """What may be wrong with a request's query or body."""

    REPEATED = auto()
    """A parameter of the query is given twice."""
    MEDIA_TYPE = auto()
    """The body is not said to be JSON."""
    TOO_LARGE = auto()
    INCOMPLETE = auto()
    """The body ended early, or did not come in time."""
    NOT_UTF8 = auto()
    NUL = auto()
    """A text has the character U+0000, which no database keeps."""
    SHAPE = auto()
    """The model of the query or body does not take it."""


class BadRequest(NetError):
    """A query or body that its endpoint can't take."""

    def __init__(
        self, mistake: Mistake, *, field: str = "", invalid: ValidationError | None = None
    ) -> None:
        """`field` is the parameter of a REPEATED, or the field of a NUL.

        `invalid` is what is wrong with a SHAPE.
        """
        super().__init__(f"{mistake.name.lower()} {field}".rstrip())
        self.mistake = mistake
        self.field = field
        self.invalid = invalid


@dataclass(frozen=True)
class Call(Generic[Service, Who]):
    """One checked request: who asks, for what, and of which service."""

    request: web.Request
    service: Service
    caller: Who
    query: Any
    body: Any

    @property
    def path(self) -> Mapping[str, str]:
        """The decoded path parameters."""
        return self.request.match_info


Handler = Callable[[Call[Service, Who]], Awaitable[BaseModel | web.StreamResponse]]


@dataclass(frozen=True)
class Api(Generic[Service, Who, Access]):
    """What the endpoints of one port share."""

    service: Service
    admit: Callable[[web.Request, Access], Awaitable[Who]]
    """Returns who asks, or raises for one who may not do what `Access` says."""
    refusal: Callable[[BadRequest], Exception]
    """Returns the refusal of a request, in the API's own words."""
    body_seconds: float
    """How long a body may take to arrive."""

    def add_routes(
        self, app: web.Application, endpoints: Iterable[Endpoint[Service, Who, Access]]
    ) -> None:
        """Have the application answer at every endpoint."""
        for endpoint in endpoints:
            app.router.add_route(endpoint.method, endpoint.path, self._bound(endpoint))

    def _bound(
        self, endpoint: Endpoint[Service, Who, Access]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await endpoint.handle(request, self)

        return handle


@dataclass(frozen=True)
class Endpoint(Generic[Service, Who, Access]):
    """One route of an API. `access` says who may call it, `media` and `upload` are as in OpenAPI.

    `media` are the types of an answer, `upload` those of a body that is a file.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler[Service, Who]
    access: Access
    query: type[Model] = NoQuery
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: int = HTTPStatus.OK
    media: tuple[str, ...] = ("application/json",)
    upload: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    async def handle(
        self, request: web.Request, api: Api[Service, Who, Access]
    ) -> web.StreamResponse:
        """Check a request in order of caller, query, body; then let the handler answer.

        Raises what the API refuses with.
        """
        request[ENDPOINT] = self.name
        caller = await api.admit(request, self.access)
        try:
            query = _query(request, self.query)
            body = await _body(request, self.body, api.body_seconds) if self.body else None
        except BadRequest as error:
            raise api.refusal(error) from error
        done = await self.handler(Call(request, api.service, caller, query, body))
        if isinstance(done, web.StreamResponse):
            return done
        return web.Response(
            text=done.model_dump_json(), status=self.status, content_type="application/json"
        )

    def operation(
        self, *, security: tuple[Mapping[str, list[str]], ...], description: str = ""
    ) -> Operation:
        """Return the endpoint as the OpenAPI document describes it."""
        return Operation(
            self.method,
            self.path,
            self.name,
            self.summary,
            self.status,
            security=security,
            description=description,
            query=None if self.query is NoQuery else self.query,
            body=self.body,
            answer=self.answer,
            media=self.media,
            upload=self.upload,
            headers=self.headers,
        )


def _query(request: web.Request, model: type[M]) -> M:
    """Return the query parameters as a model. Raises BadRequest."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise BadRequest(Mistake.REPEATED, field=name[:_LONGEST_NAME])
        values[name] = value
    _refuse_nul(values)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BadRequest(Mistake.SHAPE, invalid=error) from error


async def _body(request: web.Request, model: type[M], seconds: float) -> M:
    """Return the JSON body as a model. Raises BadRequest."""
    if request.content_type != "application/json":
        raise BadRequest(Mistake.MEDIA_TYPE)
    try:
        async with asyncio.timeout(seconds):
            raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise BadRequest(Mistake.TOO_LARGE) from error
    except (TimeoutError, web.RequestPayloadError) as error:
        raise BadRequest(Mistake.INCOMPLETE) from error
    try:
        found = model.model_validate_json(raw)
        if _NUL in raw:
            _refuse_nul(json.loads(raw))
    except ValidationError as error:
        raise BadRequest(Mistake.SHAPE, invalid=error) from error
    except ValueError as error:
        raise BadRequest(Mistake.NOT_UTF8) from error
    return found


def _refuse_nul(value: object, *place: str) -> None:
    """Raise BadRequest for a text with U+0000 in it, or below it."""
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(value, str):
        if "\0" in value:
            raise BadRequest(Mistake.NUL, field=".".join(place)[:_LONGEST_NAME])
    elif isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    for name, part in parts:
        _refuse_nul(part, *place, str(name))
