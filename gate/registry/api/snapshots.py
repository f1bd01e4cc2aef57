"""Snapshots over HTTP: a file, with its signed manifest in a header."""

from __future__ import annotations

import asyncio
import base64

from aiohttp import web

from gate.registry.api.endpoint import Call, Endpoint
from gate.sync.snapshot import MANIFEST_HEADER, MANIFEST_TYPE, MEDIA_TYPE


async def snapshot(call: Call) -> web.StreamResponse:
    """The newest snapshot; a broken download goes on with Range and If-Match (else 412)."""
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


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/snapshot",
        "snapshot",
        "全量快照 / snapshot of the filed set",
        snapshot,
        media=(MEDIA_TYPE,),
    ),
)
