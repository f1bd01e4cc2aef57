"""GET /v1/status: the gate at a glance, for people, the status page and `gate status`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from pydantic import Field

from gate import __version__
from gate.control.api.access import Access
from gate.control.api.blocked import UnfiledRow
from gate.control.api.checking import PositionView
from gate.control.api.endpoint import AdminCall, AdminEndpoint
from gate.control.api.service import AdminService
from gate.control.blocked.table import BlockedSort
from gate.control.metrics.processes import usage
from gate.control.metrics.tally import Path_
from gate.net.model import Model, moment
from gate.settings import Mode

_TOP: Final = 10

Totals = Mapping[Path_, float]


class ListenerView(Model):
    """A listener; `decisions` by verdict (pass, block, monitor), then by reason."""

    name: str
    kind: str
    address: str
    mode: Mode
    configured: Mode
    accepted: int
    decisions: dict[str, dict[str, int]]


class ProcessView(Model):
    """One process of the gate. `serving` says that it does its work."""

    name: str
    pid: int
    serving: bool
    restarts: int
    silent_seconds: float
    memory_bytes: int
    cpu_seconds: float


class UpstreamView(Model):
    """An origin; `resting` workers pass it over after a failure."""

    address: str
    connects: int
    failures: int
    resting: int
    idle: int


class CacheView(Model):
    """The workers' caches of verdicts, together."""

    hits: int
    misses: int
    entries: int


class ConnectionsView(Model):
    """Client connections now, and at most."""

    open: int
    limit: int


class HeldView(Model):
    """A snapshot that waits for a person's word: it would close `closing` of `filed` domains."""

    epoch: str
    revision: int
    filed: int
    closing: int
    since: datetime


class SyncView(Model):
    """Where the sync with the registry stands; `enforced` is known to be in every worker."""

    registry: str
    epoch: str
    revision: int
    enforced: int
    head: int
    staleness_seconds: float | None
    stale: bool
    connected: dict[str, bool]
    last_error: str
    last_error_at: datetime | None
    held: HeldView | None


class StatusView(Model):
    """The gate at a glance. `rates` has one figure for each of the last seconds, oldest first."""

    version: str
    host: str
    now: datetime
    started: datetime
    ready: bool
    reasons: tuple[str, ...] = Field(description="Why the gate takes no traffic.")
    warnings: tuple[str, ...] = Field(
        description="What to look at although it takes traffic: no filing, a snapshot that waits."
    )
    draining: bool
    reloads: int
    reloads_refused: int
    connections: ConnectionsView
    listeners: tuple[ListenerView, ...]
    rates: dict[str, tuple[float, ...]]
    cache: CacheView
    upstreams: tuple[UpstreamView, ...]
    replica: PositionView
    sync: SyncView | None
    exempt: int
    suspended: int
    processes: tuple[ProcessView, ...]
    retired_workers: int
    data_planes: dict[str, int] = Field(
        description="Workers by data plane: native (compiled) or python; retired ones count."
    )
    unfiled_names: int
    top_blocked: tuple[UnfiledRow, ...]


async def show(call: AdminCall) -> StatusView:
    """Return the gate at a glance."""
    service = call.service
    board, table = service.board, service.unfiled
    totals = service.figures.totals()
    reasons = service.health.check()
    sync = service.following.fields()
    kinds = [override.kind.value for override in service.overrides.all()]
    return StatusView(
        version=__version__,
        host=service.host,
        now=moment(time.time()),
        started=moment(board.born / 1e9),
        ready=not reasons,
        reasons=tuple(reasons),
        warnings=tuple(service.health.warnings()),
        draining=service.runtime.withdrawn or board.draining,
        reloads=board.reloads,
        reloads_refused=board.reloads_refused,
        connections=ConnectionsView(
            open=_one(totals, "connections_open"), limit=_one(totals, "connections_limit")
        ),
        listeners=tuple(_listeners(service, totals)),
        rates={name: tuple(values) for name, values in service.pulse.series().items()},
        cache=CacheView(
            hits=_one(totals, "cache", "hits"),
            misses=_one(totals, "cache", "misses"),
            entries=_one(totals, "cache", "size"),
        ),
        upstreams=tuple(_upstreams(totals)),
        replica=PositionView.of(service.replica),
        sync=None if sync is None else SyncView.model_validate(sync),
        exempt=kinds.count("exempt"),
        suspended=kinds.count("suspended"),
        processes=tuple(_processes(service)),
        retired_workers=len(board.replaced.pids),
        data_planes={plane: _one(totals, "workers", plane) for plane in ("native", "python")},
        unfiled_names=len(table),
        top_blocked=tuple(
            UnfiledRow.of(row, table.now())
            for row in await table.rows(sort=BlockedSort.RATE, limit=_TOP)
        ),
    )


def _one(totals: Totals, *path: str) -> int:
    return int(totals.get(path, 0.0))


def _listeners(service: AdminService, totals: Totals) -> Iterable[ListenerView]:
    addresses = service.addresses()
    for item in service.settings.listeners:
        decisions: dict[str, Counter[str]] = {}
        for path, value in totals.items():
            if path[:2] == ("decisions", item.name):
                _, _, _, verdict, reason = path
                decisions.setdefault(verdict, Counter())[reason] += int(value)
        yield ListenerView(
            name=item.name,
            kind=item.kind,
            address=addresses.get(item.name, str(item.address)),
            mode=service.runtime.mode_of(item.name, service.settings),
            configured=item.mode,
            accepted=_one(totals, "connections_accepted", item.name),
            decisions={verdict: dict(counts) for verdict, counts in decisions.items()},
        )


def _upstreams(totals: Totals) -> Iterable[UpstreamView]:
    for address in sorted(path[1] for path in totals if path[0] == "upstream_connects"):
        yield UpstreamView(
            address=address,
            connects=_one(totals, "upstream_connects", address),
            failures=_one(totals, "upstream_failures", address),
            resting=_one(totals, "upstream_resting", address),
            idle=_one(totals, "upstream_idle", address),
        )


def _processes(service: AdminService) -> Iterable[ProcessView]:
    used_by = usage(service.board)
    for row in service.board:
        used = used_by.get(row.name)
        yield ProcessView(
            name=row.name,
            pid=row.pid,
            serving=row.serving,
            restarts=row.restarts,
            silent_seconds=round(row.silent_seconds, 1),
            memory_bytes=used.memory_bytes if used else 0,
            cpu_seconds=used.cpu_seconds if used else 0.0,
        )


ENDPOINTS = (
    AdminEndpoint(
        "GET",
        "/v1/status",
        "showStatus",
        "The gate at a glance",
        show,
        Access.READ,
        answer=StatusView,
    ),
)
