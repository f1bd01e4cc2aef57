"""An endpoint is declared once: its route, its checks and its documentation come from that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from gate.registry.api.service import Service
from gate.registry.commands import Model, Role
from gate.registry.errors import RegistryError, Said
from gate.registry.shapes import invalid
from gate.registry.tokens import Actor

ACTOR: Final = web.RequestKey("actor", str)
ENDPOINT: Final = web.RequestKey("endpoint", str)

BODY_SECONDS: Final = 30

KEY_HEADER: Final = {
    "Idempotency-Key": "同一键的重复请求只执行一次 / a request repeated under one key is done once"
}
_KEY = re.compile(r"[\x21-\x7e]{1,128}").fullmatch

M = TypeVar("M", bound=BaseModel)


class NoQuery(Model):
    """An endpoint without query parameters."""


@dataclass(slots=True, frozen=True)
class Call:
    """One checked request: who asks, and what for."""

    request: web.Request
    service: Service
    actor: Actor
    query: Any
    body: Any

    @property
    def path(self) -> Mapping[str, str]:
        """The decoded path parameters."""
        return self.request.match_info

    def idempotency_key(self) -> str | None:
        """The request's Idempotency-Key. Raises RegistryError `field_invalid`."""
        key = self.request.headers.get("Idempotency-Key")
        if key is not None and _KEY(key) is None:
            raise RegistryError(
                "field_invalid",
                field="Idempotency-Key",
                detail=Said("1–128 个可见 ASCII 字符", "1 to 128 visible ASCII characters"),
            )
        return key


Handler = Callable[[Call], Awaitable[BaseModel | web.StreamResponse]]


@dataclass(slots=True, frozen=True)
class Endpoint:
    """`role` None means that no token is asked for."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    role: Role | None = Role.READER
    query: type[Model] = NoQuery
    body: type[Model] | None = None
    answer: type[Model] | None = None
    status: int = 200
    media: tuple[str, ...] = ("application/json",)
    upload: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    async def handle(self, request: web.Request, service: Service) -> web.StreamResponse:
        """Check a request in order of token, role, query, body; then let the handler answer."""
        request[ENDPOINT] = self.name
        actor = await service.authenticate(request.headers.get("Authorization"), self.role)
        request[ACTOR] = actor.name
        query = read_query(request, self.query)
        limit = service.settings.body_bytes
        body = await read_body(request, self.body, limit) if self.body else None
        done = await self.handler(Call(request, service, actor, query, body))
        if isinstance(done, web.StreamResponse):
            return done
        return web.Response(
            text=done.model_dump_json(),
            status=self.status,
            content_type="application/json",
        )


def read_query(request: web.Request, model: type[M]) -> M:
    """The query parameters as a model. Raises RegistryError `field_invalid`."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise RegistryError(
                "field_invalid", field=name[:64], detail=Said("重复", "given twice")
            )
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error) from error


async def read_body(request: web.Request, model: type[M], limit: int) -> M:
    """The JSON body as a model.

    Raises RegistryError `media_type`, `body_too_large`, `body_invalid` or `field_invalid`.
    """
    if request.content_type != "application/json":
        raise RegistryError("media_type", expected="application/json")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise RegistryError("body_too_large", limit=limit) from error
    except (TimeoutError, web.RequestPayloadError) as error:
        raise RegistryError("body_invalid", detail=Said("不完整", "it ended early")) from error
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise invalid(error) from error
    except ValueError as error:  # not UTF-8
        raise RegistryError("body_invalid", detail=Said("不是 UTF-8", "not UTF-8")) from error
