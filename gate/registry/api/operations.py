"""Writing: one endpoint for each filing operation."""

from __future__ import annotations

import re

from aiohttp import web

from gate.registry.api.endpoint import Call, Endpoint
from gate.registry.commands import COMMANDS, Command, Outcome
from gate.registry.errors import RegistryError, Said

_KEY = re.compile(r"[\x21-\x7e]{1,128}").fullmatch


async def perform(call: Call) -> web.Response:
    """Carry out the operation in the body, once for each Idempotency-Key."""
    key = call.request.headers.get("Idempotency-Key")
    if key is not None and _KEY(key) is None:
        raise RegistryError(
            "field_invalid",
            field="Idempotency-Key",
            detail=Said("1–128 个可见 ASCII 字符", "1 to 128 visible ASCII characters"),
        )
    outcome, repeat = await call.service.perform(call.body, call.actor, key)
    headers = {"Idempotent-Replay": "true"} if repeat else {}
    return web.Response(
        text=outcome.model_dump_json(), content_type="application/json", headers=headers
    )


def _endpoint(command: type[Command]) -> Endpoint:
    word = command.operation
    first, *rest = word.split("_")
    return Endpoint(
        "POST",
        f"/v1/operations/{word.replace('_', '-')}",
        first + "".join(part.capitalize() for part in rest),
        command.title,
        perform,
        role=command.role,
        body=command,
        answer=Outcome,
        headers={
            "Idempotency-Key": "同一键的重复请求只执行一次 / a request repeated under one key is "
            "done once"
        },
    )


ENDPOINTS = tuple(_endpoint(command) for command in COMMANDS)
