"""The hot path: host bytes to verdict.

The LRU is keyed by the bytes as they came off the wire, so that a hit needs no parsing, no
decoding and no allocation. A miss makes the name canonical, asks the overrides and the replica,
and stores the verdict, allowed or blocked alike.

The cache is not the truth. A change to a domain drops exactly the verdicts at or below it, found
through an index from each domain that has cached names below it, so the cost is in the names
that are dropped and not in the size of the cache.

A flood of random names must not push out the names that people use, so a host is let into the
cache only when it is asked for a second time within a while. Until then just its bytes are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from gate.names import InvalidName, canonical, parents
from gate.policy.overrides import Overrides
from gate.policy.verdict import Reason, Verdict, verdict
from gate.replica import Filing, Replica, Status

# Hosts seen once are remembered in two generations, each of this share of the cache's size.
_DOOR_SHARE: Final = 4


@dataclass(slots=True, frozen=True)
class Policy:
    """What is decided where the filings alone do not say."""

    ip_hosts_allowed: bool = False
    no_sni_allowed: bool = False


class _Cache(LRUCache[bytes, Verdict]):
    """An LRU that tells what it evicts."""

    def __init__(self, size: int, evicted: Callable[[bytes, Verdict], None]) -> None:
        super().__init__(size)
        self._evicted = evicted

    def popitem(self) -> tuple[bytes, Verdict]:
        key, value = super().popitem()
        self._evicted(key, value)
        return key, value


class Decider:
    """Decides on names for one worker; not thread-safe.

    `size` is the number of verdicts that are cached. `clock` gives Unix seconds.
    """

    def __init__(
        self,
        replica: Replica,
        *,
        size: int = 100_000,
        policy: Policy = Policy(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._replica = replica
        self._policy = policy
        self._clock = clock
        self._cache = _Cache(size, self._evict)
        self._get = self._cache.__getitem__
        self._seen: set[bytes] = set()
        self._seen_before: set[bytes] = set()
        self._generation = max(size // _DOOR_SHARE, 1)
        # Cached keys by the names that they stand for, and names by the domains above them.
        self._keys: dict[str, set[bytes]] = {}
        self._below: dict[str, set[str]] = {}
        self._overrides = Overrides(replica.overrides(), clock())
        self.misses = 0
        self.evictions = 0
        self.no_host = verdict(False, Reason.no_host)
        self.no_sni = verdict(policy.no_sni_allowed, Reason.no_sni)
        self.ech = verdict(False, Reason.no_sni)
        self.malformed = verdict(False, Reason.malformed)
        self.timeout = verdict(False, Reason.timeout)
        self.limit = verdict(False, Reason.limit)
        self._ip_host = verdict(policy.ip_hosts_allowed, Reason.ip_host)

    def decide(self, host: bytes) -> Verdict:
        """The verdict on a host as it came off the wire (Host value, authority or SNI)."""
        try:
            return self._get(host)
        except KeyError:
            return self._decide_anew(host)

    def _decide_anew(self, host: bytes) -> Verdict:
        self.misses += 1
        try:
            name, ip = canonical(host)
        except InvalidName:
            return self.malformed
        if ip is not None:
            return self._ip_host
        found = self.judge(name)
        seen = self._seen
        if host in seen or host in self._seen_before:
            self._admit(host, found)
        else:
            seen.add(host)
            if len(seen) >= self._generation:
                self._seen_before = seen
                self._seen = set()
        return found

    def _admit(self, host: bytes, found: Verdict) -> None:
        name = found.name
        keys = self._keys.get(name)
        if keys is not None:
            keys.add(host)
        else:
            self._keys[name] = {host}
            for domain in _above(name):
                names = self._below.get(domain)
                if names is not None:
                    names.add(name)
                else:
                    self._below[domain] = {name}
        self._cache[host] = found

    def judge(self, name: str) -> Verdict:
        """The verdict on a canonical name, from the overrides and the replica."""
        if len(self._overrides):
            override = self._overrides.find(name)
            if override is not None and (override.until is None or override.until > self._clock()):
                reason = Reason.exempt if override.exempt else Reason.suspended
                return verdict(override.exempt, reason, name, override.domain)
        filing = self._replica.lookup(name)
        if filing is None:
            return verdict(False, Reason.unfiled, name)
        return _from_filing(name, filing)

    # Change.

    def invalidate(self, domains: Iterable[str]) -> int:
        """Drop exactly the cached verdicts at or below each domain; return how many."""
        dropped = 0
        for domain in domains:
            for name in [domain, *self._below.get(domain, ())]:
                for host in list(self._keys.get(name, ())):
                    self._forget(host, self._cache.pop(host))
                    dropped += 1
        return dropped

    def clear(self) -> None:
        """Drop everything, and read the overrides again."""
        self._cache.clear()
        self._keys.clear()
        self._below.clear()
        self.reload_overrides()

    def reload_overrides(self) -> None:
        """Read the overrides again; whoever changed one invalidates its domain, too."""
        self._overrides = Overrides(self._replica.overrides(), self._clock())

    def next_expiry(self) -> float | None:
        """When the next override ends (Unix seconds); None if none will."""
        return self._overrides.next_expiry()

    def expire(self, now: float) -> int:
        """End the overrides whose time has come; return how many verdicts were dropped."""
        return self.invalidate(self._overrides.expire(now))

    # Figures.

    @property
    def size(self) -> int:
        """Verdicts in the cache."""
        return len(self._cache)

    def _evict(self, host: bytes, found: Verdict) -> None:
        self.evictions += 1
        self._forget(host, found)

    def _forget(self, host: bytes, found: Verdict) -> None:
        """Take a key that is not cached any more out of the index."""
        name = found.name
        keys = self._keys[name]
        keys.discard(host)
        if keys:
            return
        del self._keys[name]
        for domain in _above(name):
            names = self._below[domain]
            names.discard(name)
            if not names:
                del self._below[domain]


def _above(name: str) -> list[str]:
    """The domains above a name that have two labels or more."""
    found = list(parents(name))
    del found[:1]
    return found


def _from_filing(name: str, filing: Filing) -> Verdict:
    status = filing.status
    if status is Status.filed:
        return verdict(True, Reason.filed, name, filing.domain, filing.licence)
    return verdict(False, Reason(status.value), name, filing.domain, filing.licence)
