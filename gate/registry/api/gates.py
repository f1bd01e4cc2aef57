"""Gates: what each tells of the revision that it enforces, and what is in force where."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web
from pydantic import Field

from gate.changes.position import (
    ENFORCED_HEADER,
    NAME_HEADER,
    GatePosition,
    read_enforced,
)
from gate.net.model import Model
from gate.registry import log
from gate.registry.api.endpoint import RegistryCall, RegistryEndpoint
from gate.registry.commands import Role
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import clean_identifier
from gate.registry.gates import GateInForce, GateStanding, in_force, standings

_LOOK_SECONDS = 0.5


class GateList(Model):
    """Every gate that was heard of, beside the log's head."""

    epoch: str
    revision: int
    gates: tuple[GateStanding, ...]


class InForceQuery(Model):
    """Which revision, and how long to wait for how many gates."""

    revision: int = Field(ge=0, lt=2**63, description="变更日志版本 / revision of the change log")
    gates: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="等待的网关数 / gates to wait for; all, if none",
    )
    wait: float = Field(0, ge=0, le=60, description="等待秒数 / seconds to wait")


class InForce(Model):
    """In force on these gates, of so many that are known."""

    revision: int
    gates: tuple[GateInForce, ...]
    known: int
    complete: bool = Field(description="as many as were asked for")


async def position(call: RegistryCall) -> web.Response:
    """Take a gate's word."""
    gate = clean_identifier(call.path["gate"], field="gate")
    told: GatePosition = call.body
    call.service.positions.take(gate, told)
    return web.Response(status=204)


async def find(call: RegistryCall) -> GateList:
    """Return the gates and how far each is behind."""
    head = await call.service.read(log.head)
    found = await call.service.read(standings, epoch=head.epoch, revision=head.revision)
    return GateList(epoch=head.epoch, revision=head.revision, gates=tuple(found))


async def show_in_force(call: RegistryCall) -> InForce:
    """Return where a revision is in force; waits for it if asked to."""
    asked: InForceQuery = call.query
    loop = asyncio.get_running_loop()
    end = loop.time() + asked.wait
    while True:
        news = call.service.positions.news
        epoch = call.service.feed.head.epoch
        there, known = await call.service.read(in_force, asked.revision, epoch)
        wanted = asked.gates if asked.gates is not None else max(known, 1)
        complete = len(there) >= wanted
        left = end - loop.time()
        if complete or left <= 0:
            return InForce(revision=asked.revision, gates=there, known=known, complete=complete)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), min(left, _LOOK_SECONDS))


def told_by_pull(request: web.Request) -> tuple[str, GatePosition] | None:
    """Return what a gate that pulls says in its headers. Raises RegistryError `field_invalid`."""
    name, text = request.headers.get(NAME_HEADER), request.headers.get(ENFORCED_HEADER)
    if name is None or text is None:
        return None
    told = read_enforced(text)
    if told is None:
        detail = Said("应为“纪元 版本”", "write EPOCH REVISION")
        raise RegistryError("field_invalid", field=ENFORCED_HEADER, detail=detail)
    gate = clean_identifier(name, field=NAME_HEADER)
    return gate, told


ENDPOINTS = (
    RegistryEndpoint(
        "GET",
        "/v1/gates",
        "findGates",
        "网关及其滞后 / gates, and how far each is behind",
        find,
        Role.READER,
        answer=GateList,
    ),
    RegistryEndpoint(
        "POST",
        "/v1/gates/{gate}/position",
        "tellPosition",
        "网关上报已生效的版本 / a gate tells what it enforces",
        position,
        Role.READER,
        body=GatePosition,
        status=204,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/in-force",
        "inForce",
        "某版本在哪些网关生效（可等待）/ where a revision is in force (waits if asked to)",
        show_in_force,
        Role.READER,
        query=InForceQuery,
        answer=InForce,
    ),
)
