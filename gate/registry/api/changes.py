"""The change log over HTTP: signed batches by long poll, and snapshots for newcomers."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from aiohttp import web
from pydantic import Field

from gate.changes.batch import MAX_CHANGES
from gate.net.model import Model
from gate.registry.api.endpoint import RegistryCall, RegistryEndpoint
from gate.registry.api.gates import told_by_pull
from gate.registry.commands import Role
from gate.registry.errors import RegistryError
from gate.registry.views import GateView, PublishedView


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


async def changes(call: RegistryCall) -> web.Response:
    """Return the next signed batch after a revision; an empty one when nothing came in time."""
    asked: ChangesQuery = call.query
    feed = call.service.feed
    told = told_by_pull(call.request)
    if told is not None:
        call.service.positions.take(*told)
    _check_epoch(asked, feed.head.epoch)
    batch = await feed.batch_after(asked.since, limit=asked.limit)
    _check_epoch(asked, batch.epoch)
    if not batch.changes and asked.wait:
        await feed.wait_beyond(asked.since, asked.wait, epoch=batch.epoch)
        batch = await feed.batch_after(asked.since, limit=asked.limit)
        _check_epoch(asked, batch.epoch)
    sealed = await asyncio.to_thread(call.service.sealer.batch, batch)
    return web.Response(
        body=sealed,
        content_type="application/json",
        headers={"Gate-Epoch": batch.epoch, "Gate-Revision": str(batch.head)},
    )


def _check_epoch(asked: ChangesQuery, current: str) -> None:
    if asked.epoch is not None and asked.epoch != current:
        raise RegistryError("old_epoch", field="epoch", epoch=asked.epoch, current=current)


class Followers(Model):
    """Who is sent the changes by this registry; gates that pull are not known to it."""

    gates: tuple[GateView, ...]
    nats: PublishedView | None


async def followers(call: RegistryCall) -> Followers:
    """Return the gates that are pushed to, and the stream."""
    distribution = call.service.distribution
    published = distribution.published
    return Followers(
        gates=tuple(GateView(**asdict(gate)) for gate in distribution.gates),
        nats=None if published is None else PublishedView(**asdict(published)),
    )


ENDPOINTS = (
    RegistryEndpoint(
        "GET",
        "/v1/followers",
        "followers",
        "推送的网关与 NATS 发布状态 / gates that are pushed to, and the NATS stream",
        followers,
        Role.READER,
        answer=Followers,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/changes",
        "changes",
        "签名的变更批次（长轮询）/ signed batch of changes (long poll)",
        changes,
        Role.READER,
        query=ChangesQuery,
    ),
)
