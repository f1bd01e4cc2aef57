"""The change log over HTTP: signed batches by long poll, and snapshots for newcomers."""

from __future__ import annotations

import asyncio

from aiohttp import web
from pydantic import Field

from gate.registry.api.endpoint import Call, Endpoint
from gate.registry.commands import Model
from gate.registry.errors import RegistryError
from gate.sync.batch import MAX_CHANGES


class ChangesQuery(Model):
    """Where the follower stands."""

    since: int = Field(ge=0, lt=2**63, description="已有版本 / revision that the follower has")
    epoch: str | None = Field(
        None, max_length=64, description="已有纪元 / epoch that the follower has"
    )
    wait: float = Field(
        0, ge=0, le=60, description="无新变更时等待的秒数 / seconds to wait for the next change"
    )
    limit: int = Field(
        MAX_CHANGES, ge=1, le=MAX_CHANGES, description="约多少条变更 / about how many changes"
    )


async def changes(call: Call) -> web.Response:
    """The next signed batch after a revision; an empty one when nothing came in time."""
    asked: ChangesQuery = call.query
    feed = call.service.feed
    if asked.epoch is not None and asked.epoch != feed.head.epoch:
        raise RegistryError("old_epoch", field="epoch", epoch=asked.epoch, current=feed.head.epoch)
    batch = await feed.batch_after(asked.since, limit=asked.limit)
    if not batch.changes and asked.wait:
        await feed.wait_beyond(asked.since, asked.wait, epoch=batch.epoch)
        batch = await feed.batch_after(asked.since, limit=asked.limit)
    if asked.epoch is not None and asked.epoch != batch.epoch:
        raise RegistryError("old_epoch", field="epoch", epoch=asked.epoch, current=batch.epoch)
    sealed = await asyncio.to_thread(call.service.sealer.batch, batch)
    return web.Response(
        body=sealed,
        content_type="application/json",
        headers={"Gate-Epoch": batch.epoch, "Gate-Revision": str(batch.head)},
    )


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/changes",
        "changes",
        "签名的变更批次（长轮询）/ signed batch of changes (long poll)",
        changes,
        query=ChangesQuery,
    ),
)
