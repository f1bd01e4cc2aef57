"""A snapshot that would close much waits for a person's word.

The registry's changes are operations, each by somebody; a snapshot is a whole set at once, and one
from an empty or restored database would take every site offline. So the gate goes on with the set
it has, says so, and loads the snapshot when an operator has accepted it.

An operator accepts what was shown: in its epoch, and not much beyond the number that would close.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gate.changes.errors import Cause, SyncError
from gate.changes.snapshot import Manifest
from gate.replica import Check, Difference, SetShrinks, within

LOOK_SECONDS: Final = 60.0
"""Between two looks at a registry whose snapshot is held: it may be another one by now."""


@dataclass(slots=True, frozen=True)
class HeldSnapshot:
    """A snapshot that waits: its place, and what it would do to the `filed` domains here."""

    epoch: str
    revision: int
    filed: int
    closing: int
    since: float
    """Unix seconds."""


class NothingHeld(Exception):
    """No snapshot of the epoch that was named waits for a word."""


class ShrinkGuard:
    """Holds back snapshots that close more than a share of what is filed."""

    def __init__(self, bound: float, *, clock: Callable[[], float]) -> None:
        """`bound` is the share, from 0 to 1."""
        self._bound = bound
        self._clock = clock
        self._accepted = asyncio.Event()
        self._allowed = 0  # domains that may close by a person's word
        self.held: HeldSnapshot | None = None

    def look(self, manifest: Manifest) -> None:
        """Hold a snapshot on the word of its manifest, before it is fetched, if that is enough.

        Raises SyncError(shrinks).
        """
        held = self.held
        if held is None or self._accepted.is_set():
            return
        if (manifest.epoch, manifest.revision) == (held.epoch, held.revision):
            raise self._hold(manifest, held.closing, held.filed)
        least = held.filed - manifest.count  # whatever the status of those that it has
        if least > self._bound * held.filed:
            raise self._hold(manifest, least, held.filed)

    def check(self, manifest: Manifest) -> Check:
        """Return the check of a set that is about to be loaded; it raises SyncError(shrinks)."""
        limit = within(self._bound)

        def check(difference: Difference) -> None:
            if self._may(manifest, difference):
                return
            try:
                limit(difference)
            except SetShrinks as error:
                raise self._hold(manifest, error.closing, error.filed) from error

        return check

    def loaded(self) -> None:
        """A set was loaded: nothing waits any more."""
        self.held = None
        self._accepted.clear()

    def accept(self, epoch: str) -> HeldSnapshot:
        """Take a person's word for the held snapshot of `epoch`. Raises NothingHeld."""
        held = self.held
        if held is None:
            raise NothingHeld("no snapshot waits for a word")
        if held.epoch != epoch:
            raise NothingHeld(f"the snapshot that waits is of epoch {held.epoch}, not {epoch}")
        self._allowed = held.closing + int(self._bound * held.filed)
        self._accepted.set()
        return held

    async def wait(self) -> None:
        """Return when a person has accepted, or when it is time to look again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._accepted.wait()

    def _may(self, manifest: Manifest, difference: Difference) -> bool:
        held = self.held
        return (
            self._accepted.is_set()
            and held is not None
            and manifest.epoch == held.epoch
            and difference.closing <= self._allowed
        )

    def _hold(self, manifest: Manifest, closing: int, filed: int) -> SyncError:
        since = self._clock() if self.held is None else self.held.since
        self.held = HeldSnapshot(manifest.epoch, manifest.revision, filed, closing, since)
        self._accepted.clear()
        return SyncError(
            Cause.SHRINKS,
            f"the registry's snapshot of revision {manifest.revision} would close {closing} "
            f"of {filed} filed domains, more than sync.max_shrink ({self._bound:.0%}); this "
            "gate goes on with the set that it has. Look at the registry; if it is right, "
            "`gate sync accept`",
        )
