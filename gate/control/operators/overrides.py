"""Operators' decisions on domains: written down, stored, in force in every worker, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from gate.control.metrics import catalogue as metrics
from gate.control.metrics.catalogue import Metric, Sample
from gate.control.operators.audit import AuditError, AuditLog
from gate.control.workers import Unconfirmed, Workers
from gate.filings import Override, OverrideKind
from gate.replica import Replica, ReplicaError

_log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 1.0  # also for a clock that is set


class Overrides:
    """The overrides of the replica, through the one process that writes them."""

    def __init__(
        self,
        replica: Replica,
        workers: Workers,
        audit: AuditLog,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._replica = replica
        self._workers = workers
        self._audit = audit
        self._clock = clock
        self._lock = asyncio.Lock()
        self._look_at = 0.0
        self._changed = asyncio.Event()

    def all(self) -> list[Override]:
        """Return those that have not ended, by domain."""
        now = self._clock()
        found = self._replica.overrides().values()
        return sorted((item for item in found if item.active(now)), key=lambda item: item.domain)

    def get(self, domain: str) -> Override | None:
        """Return the override of exactly this domain that has not ended."""
        found = self._replica.overrides().get(domain)
        return found if found is not None and found.active(self._clock()) else None

    def samples(self) -> list[tuple[Metric, list[Sample]]]:
        """Return how many of each kind have not ended, for /metrics."""
        kinds = Counter(item.kind for item in self.all())
        values: list[Sample] = [((kind.value,), float(kinds[kind])) for kind in OverrideKind]
        return [(metrics.OVERRIDES, values)]

    async def put(self, override: Override) -> None:
        """Store an override, and return when it is in force in every worker.

        Raises ReplicaError (nothing was changed) or Unconfirmed (stored, and not confirmed).
        """
        async with self._lock:
            await asyncio.to_thread(self._replica.set_override, override)
            self._changed.set()
            await self._enforce([override.domain])

    async def remove(self, override: Override) -> bool:
        """Forget an override, and return when that is in force; raises like `put`.

        False if it is not what its domain has (any more): nothing is changed then.
        """
        async with self._lock:
            if self._replica.overrides().get(override.domain) != override:
                return False
            await asyncio.to_thread(self._replica.remove_override, override.domain)
            await self._enforce([override.domain])
            return True

    async def _enforce(self, domains: list[str]) -> None:
        # What is open is judged again, and cut only where it is no longer allowed.
        await self._workers.invalidate(domains, domains)

    async def end_in_time(self) -> None:
        """End each override at the moment when its time is over, until cancelled."""
        while True:
            self._changed.clear()
            looked = self._clock()
            await self.end_what_ran_out()
            ends = [
                item.until - self._clock()
                for item in self._replica.overrides().values()
                if item.until is not None and item.until > looked
            ]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min([_LOOK_SECONDS, *ends])):
                    await self._changed.wait()

    async def end_what_ran_out(self) -> None:
        """End the overrides whose time is over, and what is open by them.

        Workers see the end by themselves and judge anew; here open connections are looked at,
        the end is written down, and the override forgotten.
        """
        if time.monotonic() < self._look_at or not self._ended():
            return
        try:
            async with self._lock:  # an operator may be about to prolong one
                await self._end(self._ended())
        except (AuditError, Unconfirmed, ReplicaError) as error:
            _log.error("an override that ran out is still stored: %s", error)
            self._look_at = time.monotonic() + _RETRY_SECONDS

    def _ended(self) -> list[Override]:
        now = self._clock()
        return [item for item in self._replica.overrides().values() if not item.active(now)]

    async def _end(self, ended: list[Override]) -> None:
        """Cut, write down, forget: an end that is not in force everywhere is tried again."""
        if not ended:
            return
        await self._enforce([override.domain for override in ended])
        for override in ended:
            self._audit.record(
                actor="gate",
                peer="",
                by="",
                action="end override",
                target=override.domain,
                kind=override.kind.value,
            )
            await asyncio.to_thread(self._replica.remove_override, override.domain)
