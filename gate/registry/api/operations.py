"""Writing: one endpoint for each filing operation."""

from __future__ import annotations

from aiohttp import web

from gate.registry.api.endpoint import KEY_HEADER, Call, Endpoint
from gate.registry.commands import COMMANDS, Command, Outcome


async def perform(call: Call) -> web.Response:
    """Carry out the operation in the body, once for each Idempotency-Key."""
    outcome, repeat = await call.service.perform(call.body, call.actor, call.idempotency_key())
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
        headers=KEY_HEADER,
    )


ENDPOINTS = tuple(_endpoint(command) for command in COMMANDS)
