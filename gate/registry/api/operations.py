"""Writing: one endpoint for each filing operation."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from gate.net.model import Model
from gate.registry.api.endpoint import KEY_HEADER, RegistryCall, RegistryEndpoint, idempotency_key
from gate.registry.commands import COMMANDS, Command, Outcome


class OperationQuery(Model):
    """How an operation is meant."""

    dry_run: bool = Field(
        False, description="只预览，不更改 / only say what would be done; nothing is changed"
    )


async def perform(call: RegistryCall) -> web.Response:
    """Carry out the operation in the body, once for each Idempotency-Key."""
    asked: OperationQuery = call.query
    key = idempotency_key(call.request)
    outcome, repeat = await call.service.perform(call.body, call.caller, key, dry_run=asked.dry_run)
    headers = {"Idempotent-Replay": "true"} if repeat else {}
    return web.Response(
        text=outcome.model_dump_json(), content_type="application/json", headers=headers
    )


def _endpoint(command: type[Command]) -> RegistryEndpoint:
    word = command.operation
    first, *rest = word.split("_")
    return RegistryEndpoint(
        "POST",
        f"/v1/operations/{word.replace('_', '-')}",
        first + "".join(part.capitalize() for part in rest),
        command.title,
        perform,
        command.role,
        query=OperationQuery,
        body=command,
        answer=Outcome,
        headers=KEY_HEADER,
    )


ENDPOINTS = tuple(_endpoint(command) for command in COMMANDS)
