"""Following the registry: the sync agent inside the control process.

`gate.sync` knows no control channel and the rest of `gate.control` no sync; here they meet: the
agent's way to the workers, its figures, its health. The sync takes long to load, and is loaded when
it is to run; until then this says that it begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gate.changes.errors import Cause, SyncError
from gate.control.metrics import catalogue as metrics
from gate.control.metrics.catalogue import Metric, Sample
from gate.control.workers import Unconfirmed, Workers
from gate.net.model import moment
from gate.replica import Replica
from gate.settings import NONE, Settings
from gate.settings.mask import without_password

if TYPE_CHECKING:
    from gate.sync.agent import SyncAgent


class EnforcingWorkers:
    """The gate's workers as the sync agent wants them."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    async def enforce(self, domains: Sequence[str], revoked: Sequence[str], revision: int) -> None:
        """See `gate.sync.applier.Enforcer`."""
        try:
            await self._workers.invalidate(domains, revoked, revision=revision)
        except Unconfirmed as error:
            raise SyncError(Cause.UNENFORCED, str(error)) from error

    async def enforce_all(self) -> None:
        """See `gate.sync.applier.Enforcer`."""
        try:
            await self._workers.refresh()
        except Unconfirmed as error:
            raise SyncError(Cause.UNENFORCED, str(error)) from error


class Following:
    """The sync with the registry that the settings name, if they name one."""

    def __init__(self, settings: Settings, replica: Replica, workers: Workers) -> None:
        self._settings = settings
        self._replica = replica
        self._workers = workers
        self._agent: SyncAgent | None = None  # once it runs

    @property
    def is_wanted(self) -> bool:
        """Whether the settings name a registry."""
        return self._settings.sync.registry != NONE

    async def run(self) -> None:
        """Keep the replica equal to the registry until cancelled. Raises SyncError(corrupt)."""
        from gate.sync.agent import SyncAgent

        settings = self._settings
        self._agent = SyncAgent(
            settings.sync, settings.state_dir, self._replica, EnforcingWorkers(self._workers)
        )
        await self._agent.run()

    def obstacles(self) -> list[str]:
        """Return why the gate should take no traffic, a sentence each; empty if it should."""
        sync = self._settings.sync
        if self._agent is not None:
            return self._agent.obstacles()
        must_hear = self._replica.position() is None or sync.unready_seconds is not None
        return [f"the sync with {sync.registry} begins"] if self.is_wanted and must_hear else []

    def doubts(self) -> list[str]:
        """Return what an operator should look at, a sentence each."""
        return [] if self._agent is None else self._agent.doubts()

    def accept(self, epoch: str) -> None:
        """Take a person's word for the snapshot of that epoch which waits for it."""
        if self._agent is not None:
            self._agent.accept(epoch)

    def fields(self) -> dict[str, Any] | None:
        """Return where the sync stands, as `gate.control.api.status.SyncView` shows it."""
        return None if self._agent is None else _fields(self._agent)

    def samples(self) -> Iterator[tuple[Metric, list[Sample]]]:
        """Return the sync's figures for /metrics."""
        if self._agent is not None:
            yield from _samples(self._agent)


def _samples(agent: SyncAgent) -> Iterator[tuple[Metric, list[Sample]]]:
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
    yield metrics.SYNC_HELD, [((), float(status.held.closing if status.held else 0))]
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


def _fields(agent: SyncAgent) -> dict[str, Any]:
    status = agent.status()
    held = status.held
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
        "held": held
        and {
            "epoch": held.epoch,
            "revision": held.revision,
            "filed": held.filed,
            "closing": held.closing,
            "since": moment(held.since),
        },
    }
