"""The registry's endpoints: the kit of `gate.net.endpoint` with its own service and callers."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from gate.net import endpoint as kit
from gate.net.endpoint import BadRequest, Mistake
from gate.registry.commands import Role
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import MAX_TEXT
from gate.registry.service import RegistryService
from gate.registry.shapes import invalid
from gate.registry.tokens import Actor

ACTOR: Final = web.RequestKey("actor", str)
"""Of a request: who sent it."""

BODY_SECONDS: Final = 30.0

KEY_HEADER: Final = {
    "Idempotency-Key": "同一键的重复请求只执行一次 / a request repeated under one key is done once"
}
_KEY = re.compile(r"[\x21-\x7e]{1,128}").fullmatch

RegistryApi = kit.Api[RegistryService, Actor, Role]
RegistryCall = kit.Call[RegistryService, Actor]
RegistryEndpoint = kit.Endpoint[RegistryService, Actor, Role]


def api_of(service: RegistryService) -> RegistryApi:
    """Return the API of a registry."""
    limit = service.settings.body_bytes

    async def admit(request: web.Request, role: Role) -> Actor:
        actor = await service.authenticate(request.headers.get("Authorization"), role)
        request[ACTOR] = actor.name
        return actor

    def refusal(error: BadRequest) -> RegistryError:
        match error.mistake:
            case Mistake.REPEATED:
                twice = Said("重复", "given twice")
                return RegistryError("field_invalid", field=error.field, detail=twice)
            case Mistake.MEDIA_TYPE:
                return RegistryError("media_type", expected="application/json")
            case Mistake.TOO_LARGE:
                return RegistryError("body_too_large", limit=limit)
            case Mistake.INCOMPLETE:
                return RegistryError("body_invalid", detail=Said("不完整", "it ended early"))
            case Mistake.NOT_UTF8:
                return RegistryError("body_invalid", detail=Said("不是 UTF-8", "not UTF-8"))
            case Mistake.NUL:
                return RegistryError("text_invalid", field=error.field, limit=MAX_TEXT)
            case Mistake.SHAPE if error.invalid is not None:
                return invalid(error.invalid)
            case _:
                raise error  # a shape without what is wrong with it

    return RegistryApi(service, admit, refusal, BODY_SECONDS)


def idempotency_key(request: web.Request) -> str | None:
    """Return the request's Idempotency-Key. Raises RegistryError `field_invalid`."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and _KEY(key) is None:
        raise RegistryError(
            "field_invalid",
            field="Idempotency-Key",
            detail=Said("1–128 个可见 ASCII 字符", "1 to 128 visible ASCII characters"),
        )
    return key
