"""Workers without processes: caches of verdicts over a replica, which forget what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gate.changes.errors import Cause, SyncError
from gate.filings import Status
from gate.replica import Replica


class CachingFleet:
    """Two workers that remember every verdict until they are told to drop it."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.caches: list[dict[str, bool]] = [{}, {}]
        self.calls: list[str] = []
        self.revoked: list[str] = []
        self.broken = False
        """Nothing is confirmed while this is set."""

    async def enforce(self, domains: Sequence[str], revoked: Sequence[str], revision: int) -> None:
        await self._reach()
        self.calls.append(f"{revision}: {' '.join(sorted(domains))}")
        self.revoked += revoked
        for cache in self.caches:
            for name in [n for n in cache if any(_covers(domain, n) for domain in domains)]:
                del cache[name]

    async def enforce_all(self) -> None:
        await self._reach()
        self.calls.append("all")
        for cache in self.caches:
            cache.clear()

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise SyncError(Cause.UNENFORCED, "worker 1 does not answer")

    def passes(self, name: str) -> bool:
        """Whether all workers let a name pass; they must agree."""
        verdicts = {self._judge(cache, name) for cache in self.caches}
        assert len(verdicts) == 1, f"the workers differ about {name}"
        return verdicts.pop()

    def _judge(self, cache: dict[str, bool], name: str) -> bool:
        if name not in cache:
            found = self.replica.lookup(name)
            cache[name] = found is not None and found.status is Status.FILED
        return cache[name]


def _covers(domain: str, name: str) -> bool:
    return name == domain or name.endswith(f".{domain}")
