"""An endpoint is declared once: its route, its checks and its documentation come from that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import ValidationError

from gate.control.api.access import Caller
from gate.control.api.model import Model
from gate.control.api.operator import Operator
from gate.control.api.problems import Refusal, invalid

BODY_BYTES: Final = 16_384
_BODY_SECONDS: Final = 10.0

M = TypeVar("M", bound=Model)


class NoQuery(Model):
    """An endpoint without query parameters."""


@dataclass(slots=True, frozen=True)
class Call:
    """One checked request: who asks, for what, and of which gate."""

    operator: Operator
    caller: Caller
    path: Mapping[str, str]
    query: Any
    body: Any


Handler = Callable[[Call], Awaitable[Model | web.Response]]


@dataclass(slots=True, frozen=True)
class Endpoint:
    """`writes` means that it changes something, and so needs a token."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    writes: bool = False
    query: type[Model] = NoQuery
    body: type[Model] | None = None
    answer: type[Model] | None = None
    status: HTTPStatus = HTTPStatus.OK
    media: str = "application/json"

    async def handle(self, request: web.Request, operator: Operator) -> web.Response:
        """Check a request in order of caller, query, body; then let the handler answer.

        Raises Refusal.
        """
        caller = operator.guard.admit(request, writes=self.writes)
        query = _query(request, self.query)
        body = await _body(request, self.body) if self.body else None
        done = await self.handler(Call(operator, caller, request.match_info, query, body))
        if isinstance(done, web.Response):
            return done
        return web.Response(
            text=done.model_dump_json(), status=self.status, content_type="application/json"
        )


def _query(request: web.Request, model: type[M]) -> M:
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "field_invalid",
                f"{name[:64]} is given twice; give it once",
                field=name[:64],
            )
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error) from error


async def _body(request: web.Request, model: type[M]) -> M:
    if request.content_type != "application/json":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "the body is to be JSON; send `Content-Type: application/json`",
        )
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            raw = await request.read()
    except (TimeoutError, web.RequestPayloadError) as error:
        raise Refusal(
            HTTPStatus.BAD_REQUEST, "body_invalid", "the body ended early or did not come in time"
        ) from error
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise invalid(error) from error
