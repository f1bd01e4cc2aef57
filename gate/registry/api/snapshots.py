"""Snapshots over HTTP: a file, with its signed manifest in a header."""

from __future__ import annotations

import asyncio
import base64
from functools import partial

from aiohttp import web
from pydantic import Field

from gate.changes.snapshot import MANIFEST_HEADER, MANIFEST_TYPE, MEDIA_TYPE
from gate.net.model import Model
from gate.registry.api.endpoint import RegistryCall, RegistryEndpoint
from gate.registry.commands import Role, Text
from gate.registry.errors import RegistryError


async def snapshot(call: RegistryCall) -> web.StreamResponse:
    """Return the newest snapshot; a broken download goes on with Range and If-Match (else 412)."""
    service = call.service
    newest = await asyncio.get_running_loop().run_in_executor(
        service.long_reader, service.snapshots.current
    )
    manifest = newest.manifest
    sealed = service.sealer.payload(manifest.encode(), MANIFEST_TYPE)
    return web.FileResponse(
        newest.path,
        headers={
            "Content-Type": MEDIA_TYPE,
            "Gate-Epoch": manifest.epoch,
            "Gate-Revision": str(manifest.revision),
            MANIFEST_HEADER: base64.b64encode(sealed).decode(),
        },
    )


class AcceptSetBody(Model):
    """Why a set that has shrunk unexplained is right."""

    reason: Text = Field(description="原因，记入审计 / why, for the audit trail")


class AcceptedView(Model):
    """What was accepted: the set at this place of the log."""

    epoch: str
    revision: int


async def accept(call: RegistryCall) -> AcceptedView:
    """Give out the set as it is, although it has shrunk unexplained."""
    body: AcceptSetBody = call.body
    service = call.service
    if service.snapshots.held is None:
        raise RegistryError("nothing_held")
    head = await service.write(
        partial(service.registry.accept_set, reason=body.reason, actor=call.caller)
    )
    await asyncio.get_running_loop().run_in_executor(service.long_reader, service.snapshots.check)
    return AcceptedView(epoch=head.epoch, revision=head.revision)


ENDPOINTS = (
    RegistryEndpoint(
        "POST",
        "/v1/snapshot/accept",
        "acceptSet",
        "确认缩小的快照 / give out a set that has shrunk unexplained",
        accept,
        Role.ADMIN,
        body=AcceptSetBody,
        answer=AcceptedView,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/snapshot",
        "snapshot",
        "全量快照 / snapshot of the filed set",
        snapshot,
        Role.READER,
        media=(MEDIA_TYPE,),
    ),
)
