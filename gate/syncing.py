"""The sync agent inside the control process: its way to the workers, its figures, its health.

`gate.sync` knows no control channel and `gate.control` no sync; here they meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gate.control import metrics
from gate.control.api.model import moment
from gate.control.figures import Sample
from gate.control.fleet import Fleet, FleetError
from gate.control.metrics import Metric
from gate.settings.mask import without_password
from gate.sync.agent import SyncAgent
from gate.sync.errors import Cause, SyncError


class Workers:
    """The gate's workers as the sync agent wants them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def enforce(self, domains: Sequence[str], revoked: Sequence[str], revision: int) -> None:
        """See `gate.sync.applier.Fleet`."""
        try:
            await self._fleet.invalidate(domains, revoked, revision=revision)
        except FleetError as error:
            raise SyncError(Cause.UNENFORCED, str(error)) from error

    async def enforce_all(self) -> None:
        """See `gate.sync.applier.Fleet`."""
        try:
            await self._fleet.refresh()
        except FleetError as error:
            raise SyncError(Cause.UNENFORCED, str(error)) from error


def samples(agent: SyncAgent) -> Iterator[tuple[Metric, list[Sample]]]:
    """The sync's figures for /metrics."""
    status, counts = agent.status(), agent.counts
    yield metrics.SYNC_ENFORCED, [((), status.enforced)]
    yield metrics.SYNC_HEAD, [((), status.head)]
    if status.staleness is not None:
        yield metrics.SYNC_STALENESS, [((), status.staleness)]
    yield metrics.SYNC_STALE, [((), float(status.stale))]
    yield (
        metrics.SYNC_CONNECTED,
        [((channel.value,), float(is_up)) for channel, is_up in status.connected.items()],
    )
    yield metrics.SYNC_CHANGES, [((), status.changes)]
    yield metrics.SYNC_SNAPSHOTS, [((), status.snapshots)]
    yield (
        metrics.SYNC_BATCHES,
        [((channel.value,), count) for channel, count in counts.batches.items()],
    )
    yield (
        metrics.SYNC_REFUSED,
        [
            ((channel.value, cause.value), count)
            for (channel, cause), count in counts.refused.items()
        ],
    )


def sync_fields(agent: SyncAgent) -> dict[str, Any]:
    """Where the sync stands, as `gate.control.api.status.SyncView` shows it."""
    status = agent.status()
    return {
        "registry": without_password(status.registry),
        "epoch": status.epoch,
        "revision": status.revision,
        "enforced": status.enforced,
        "head": status.head,
        "staleness_seconds": None if status.staleness is None else round(status.staleness, 1),
        "stale": status.stale,
        "connected": {channel.value: is_up for channel, is_up in status.connected.items()},
        "last_error": status.last_error,
        "last_error_at": moment(status.last_error_at) if status.last_error else None,
    }
