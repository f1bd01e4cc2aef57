"""Snapshots over HTTP: a file, with its signed manifest in a header."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Final

from aiohttp import web

from gate.registry.api.endpoint import Call, Endpoint
from gate.registry.snapshots import SnapshotFile

MEDIA: Final = "application/vnd.filing-gate.snapshot+zstd"
MANIFEST_TYPE: Final = "application/vnd.filing-gate.manifest.v1+json"


async def snapshot(call: Call) -> web.StreamResponse:
    """The newest snapshot; a broken download goes on with Range and If-Match (else 412)."""
    service = call.service
    newest = await asyncio.get_running_loop().run_in_executor(
        service.long_reader, service.snapshots.current
    )
    sealed = service.sealer.payload(_manifest(newest), MANIFEST_TYPE)
    return web.FileResponse(
        newest.path,
        headers={
            "Content-Type": MEDIA,
            "Gate-Epoch": newest.epoch,
            "Gate-Revision": str(newest.revision),
            "Gate-Manifest": base64.b64encode(sealed).decode(),
        },
    )


def _manifest(file: SnapshotFile) -> bytes:
    return json.dumps(
        {
            "epoch": file.epoch,
            "revision": file.revision,
            "count": file.count,
            "sha256": file.sha256,
            "created": file.created,
        },
        separators=(",", ":"),
    ).encode()


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/snapshot",
        "snapshot",
        "全量快照 / snapshot of the filed set",
        snapshot,
        media=MEDIA,
    ),
)
