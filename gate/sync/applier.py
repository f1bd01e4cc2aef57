"""Applying what a registry sent: on disk first, then in force in every worker, then acknowledged.

There is one `Applier` in a gate, whatever the channels (pull, push, NATS), and one lock in it, so
that the order is the registry's. What it keeps track of is the debt: what is committed to the
replica and not yet confirmed by all workers. Nothing is acknowledged while there is any.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

from gate.changes.batch import Batch
from gate.changes.errors import Cause, SyncError
from gate.changes.snapshot import Manifest
from gate.filings import Filing, Position, Status
from gate.replica import (
    LOCAL_EPOCH,
    BadChange,
    Check,
    OldEpoch,
    PositionError,
    Replica,
    ReplicaCorrupt,
    ReplicaError,
)

_log = logging.getLogger(__name__)

_ALL_AT = 50_000
"""Domains in debt from which on the workers are told to drop everything instead."""

_LOOK_SECONDS = 1.0
"""Between two looks for what is over: also for a clock that is set."""

_RETRY_SECONDS = 1.0

_TOLD = 100
"""Changes of one batch that get a log line of their own."""


def _elapsed() -> float:
    """Return a count of seconds that goes on while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Enforcer(Protocol):
    """All workers of this gate. Both calls raise SyncError(unenforced)."""

    async def enforce(self, domains: Sequence[str], revoked: Sequence[str], revision: int) -> None:
        """Return when no worker holds an old verdict at or below the domains, and what was open
        for the revoked ones has been judged again."""

    async def enforce_all(self) -> None:
        """Return when no worker holds an old verdict at all."""


class Applier:
    """The only writer of filings into a replica, while the gate runs."""

    def __init__(
        self,
        replica: Replica,
        enforcer: Enforcer,
        *,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = _elapsed,
    ) -> None:
        """`clock` is the wall clock; `elapsed` counts seconds, whoever sets that."""
        self._replica = replica
        self._enforcer = enforcer
        self._clock = clock
        self._elapsed = elapsed
        self._lock = asyncio.Lock()
        # What this process has not told the workers is unknown: they may have been running.
        self._owes_all = True
        self._owed: dict[str, bool] = {}  # domain -> revoked
        self._enforced: Position | None = None
        position = replica.position()
        self.head = 0 if position is None else position.revision
        """The registry's newest revision, as far as this gate has heard."""
        # Of the registry's last word that this gate has all there is: when it came by `elapsed`,
        # and how old it was then. None before the first one.
        self._heard: tuple[float, float] | None = None
        if position is not None:
            self._fresh_at(position.updated_at)
        self.applied = 0
        """Changes applied by this process."""
        self.loaded = 0
        """Snapshots loaded by this process."""

    @property
    def position(self) -> Position | None:
        """Where the replica stands; None if nothing was ever loaded."""
        return self._replica.position()

    @property
    def enforced(self) -> Position | None:
        """Where every worker is known to stand at least."""
        return self._enforced

    async def apply(self, batch: Batch) -> int:
        """Commit the batch and have it enforced; gives the revision in force.

        A repeat is answered like the first time. Raises SyncError: Gap, `old_epoch`, `new_epoch`
        (a snapshot is due), `malformed`, `storage`, `corrupt`, or `unenforced`: committed, and to
        be tried again.
        """
        async with self._lock:
            position = self._followed()
            _check_epoch(batch.epoch, position)
            if position is None or position.epoch != batch.epoch:
                raise SyncError(
                    Cause.NEW_EPOCH,
                    f"the batch is of epoch {batch.epoch}, and this gate has "
                    f"{position.epoch if position else 'none yet'}; it takes a snapshot first",
                )
            rest = batch.after(position.revision)
            if rest.changes:
                await self._commit(rest)
            await self._settle()
            revision = max(position.revision, batch.to_revision)
            self._hear(batch, revision)
            return revision

    async def load(
        self, manifest: Manifest, filings: Iterable[Filing], *, check: Check | None = None
    ) -> int:
        """Replace the whole set, and have it enforced; gives the revision in force.

        Raises SyncError like `apply`, and whatever `filings` and `check` raise; the old set stays
        then.
        """
        async with self._lock:
            self.check(manifest)
            self._owes_all = True
            wanted = _Wanted(filings)
            with _translated():
                await _to_its_end(
                    partial(
                        self._replica.load,
                        wanted,
                        epoch=manifest.epoch,
                        revision=manifest.revision,
                        check=check,
                    ),
                    cancelled=wanted.stop,
                )
            self.loaded += 1
            await self._settle()
            self.head = manifest.revision
            self._fresh_at(manifest.created)
            return manifest.revision

    def check(self, manifest: Manifest) -> None:
        """Raise SyncError if a snapshot would take the replica back in time."""
        position = self._followed()
        _check_epoch(manifest.epoch, position)
        if (
            position is not None
            and manifest.epoch == position.epoch
            and manifest.revision < position.revision
        ):
            raise SyncError(
                Cause.OLD_REVISION,
                f"the registry is at revision {manifest.revision} and this gate has "
                f"{position.revision} of the same epoch; if the registry was restored from a "
                "backup, begin a new epoch there: gate registry renew-epoch",
            )

    async def settle(self) -> None:
        """Have everything that is committed enforced. Raises SyncError(unenforced)."""
        async with self._lock:
            await self._settle()

    async def end_in_time(self) -> None:
        """End what has an end of its own when that comes by this gate's clock, until cancelled.

        The registry sends each end as well; this is for a gate that does not hear it. What can't be
        stored or enforced is told of and tried again.
        """
        while True:
            try:
                await self.end()
                end = self._replica.next_end()
                wait = _LOOK_SECONDS if end is None else end - self._clock()
            except (SyncError, ReplicaError) as error:
                _log.error("an exemption or suspension that is over still counts: %s", error)
                wait = _RETRY_SECONDS
            await asyncio.sleep(min(max(wait, 0.0), _LOOK_SECONDS))

    async def end(self) -> None:
        """End what is over by now, and have that enforced. Raises SyncError, ReplicaError."""
        async with self._lock:
            now = self._clock()
            ended = self._replica.ending(now)
            end = self._replica.next_end()
            if end is not None and end <= now:
                for domain, status in ended.items():
                    self._owed[domain] = status is not Status.FILED
                with _translated():
                    await _to_its_end(partial(self._replica.end, now))
                for domain, status in ended.items():
                    _log.info("%s is %s: its time was over by this gate's clock", domain, status)
            if self._owed:
                await self._settle()

    def _followed(self) -> Position | None:
        """Return the replica's position in a registry's log; None for an imported list, too."""
        position = self._replica.position()
        return None if position is None or position.epoch == LOCAL_EPOCH else position

    async def _commit(self, batch: Batch) -> None:
        # The debt first: whatever becomes of this task, no commit goes by untold.
        for change in batch.changes:
            self._owed[change.domain] = change.status is not Status.FILED
        with _translated():
            await _to_its_end(
                partial(
                    self._replica.apply,
                    batch.changes,
                    epoch=batch.epoch,
                    from_revision=batch.from_revision,
                    to_revision=batch.to_revision,
                )
            )
        self.applied += len(batch.changes)
        _tell(batch)

    async def _settle(self) -> None:
        position = self._replica.position()
        if self._owes_all or len(self._owed) > _ALL_AT:
            await self._enforcer.enforce_all()
        elif self._owed or self._enforced != position:
            revoked = [domain for domain, gone in self._owed.items() if gone]
            revision = 0 if position is None else position.revision
            await self._enforcer.enforce(list(self._owed), revoked, revision)
        self._owes_all = False
        self._owed.clear()
        self._enforced = position

    def _hear(self, batch: Batch, revision: int) -> None:
        self.head = max(self.head, batch.head)
        if revision >= batch.head:
            self._fresh_at(batch.issued_at)

    def _fresh_at(self, moment: float) -> None:
        # By the clocks of both sides. A registry whose clock is ahead must not make this gate look
        # fresh for longer, nor a word that was held back make it look older than it is.
        age = max(self._clock() - moment, 0.0)
        known = self.staleness()
        self._heard = self._elapsed(), age if known is None else min(age, known)

    def staleness(self) -> float | None:
        """Return the seconds since the registry's last word; None before the first one.

        They are counted, not read from the wall clock: that one is set is no silence.
        """
        if self._heard is None:
            return None
        came, age = self._heard
        return age + self._elapsed() - came


def _tell(batch: Batch) -> None:
    """Write a log line for each change; for a large batch, for its first ones and the rest."""
    for revision, change in enumerate(batch.changes[:_TOLD], batch.from_revision + 1):
        licence = f" ({change.licence})" if change.licence else ""
        _log.info("revision %d: %s is %s%s", revision, change.domain, change.status, licence)
    if len(batch.changes) > _TOLD:
        rest = len(batch.changes) - _TOLD
        _log.info("revision %d: and %d more changes before it", batch.to_revision, rest)


def _check_epoch(epoch: str, position: Position | None) -> None:
    if position is not None and epoch < position.epoch:
        raise SyncError(
            Cause.OLD_EPOCH, f"epoch {epoch} is over; this gate follows {position.epoch}"
        )


class _Wanted:
    """Filings on their way into a load, until that is given up."""

    def __init__(self, filings: Iterable[Filing]) -> None:
        self._filings = filings
        self._is_stopped = False

    def stop(self) -> None:
        """End the load, which leaves the old set."""
        self._is_stopped = True

    def __iter__(self) -> Iterator[Filing]:
        for filing in self._filings:
            if self._is_stopped:
                raise SyncError(Cause.TRUNCATED, "the load of the snapshot was given up")
            yield filing


async def _to_its_end(
    write: Callable[[], None], *, cancelled: Callable[[], None] = lambda: None
) -> None:
    """Run `write` on a thread; a task that is cancelled meanwhile goes on only after its end.

    A thread can't be called back. Were the lock given up before it has ended, then another task
    could tell the workers before the commit, and count the debt as paid. `cancelled` may have
    the write end sooner.
    """
    thread = asyncio.ensure_future(asyncio.to_thread(write))
    try:
        await asyncio.shield(thread)
    except asyncio.CancelledError:
        cancelled()
        while not thread.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([thread])
        if not thread.cancelled():
            thread.exception()  # seen: who was cancelled is not told of it
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the replica's errors into the sync's."""
    try:
        yield
    except OldEpoch as error:
        raise SyncError(Cause.OLD_EPOCH, str(error)) from error
    except PositionError as error:
        raise SyncError(Cause.GAP, str(error)) from error
    except BadChange as error:
        raise SyncError(Cause.MALFORMED, str(error)) from error
    except ReplicaCorrupt as error:
        raise SyncError(Cause.CORRUPT, str(error)) from error
    except (ReplicaError, OSError) as error:
        raise SyncError(Cause.STORAGE, str(error)) from error
