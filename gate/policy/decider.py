"""The decision: host text in, verdict out.

A name passes if its filing says so, unless an operator's override says otherwise.  The
nearest record and the nearest override up the labels count; an override speaks only where it
changes the outcome, so a filed domain with an exemption is still `filed`, and a suspended
domain that nobody filed is still `unfiled`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gate.histogram import Histogram
from gate.names import InvalidName, canonical, parents, plain_name
from gate.policy.cache import VerdictCache
from gate.policy.verdict import Reason, Verdict, nameless
from gate.replica import Override, OverrideKind, Replica
from gate.replica.records import FILED, FILED_ELSEWHERE, REVOKED, STATUS_MASK, SUSPENDED

_REASONS: Final = {
    FILED: Reason.FILED,
    FILED_ELSEWHERE: Reason.FILED_ELSEWHERE,
    SUSPENDED: Reason.SUSPENDED,
    REVOKED: Reason.REVOKED,
}
_BY_STATUS: Final = {
    status: (reason is Reason.FILED, reason, reason.code) for status, reason in _REASONS.items()
}
_UNFILED: Final = Reason.UNFILED
_UNFILED_CODE: Final = _UNFILED.code


@dataclass(slots=True, frozen=True)
class Policy:
    """What happens where no filing can decide."""

    ip_hosts_allowed: bool = False
    no_sni_allowed: bool = False


@dataclass(slots=True, frozen=True)
class CacheStats:
    """Counts since the start.  Hits are not counted: they are the decisions less `misses`."""

    misses: int
    evictions: int
    size: int
    capacity: int
    lookup_seconds: Histogram
    """Time to judge a host that is not in the cache; one miss in 16 is measured."""


class Decider:
    """Judges hosts by the replica, behind an LRU.  One for each worker process."""

    decide: Callable[[bytes], Verdict]
    """The hot path: the verdict on raw host bytes, from the cache or judged now.

    Raises ReplicaError if the replica cannot be read.
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
        self._find = replica.find
        self._clock = clock
        self._cache = VerdictCache(size, self.judge)
        self._earliest = self._latest = clock()  # of the times by which it judged since `expire`
        self.decide = self._cache.__getitem__
        self.malformed: Final = nameless(Reason.MALFORMED)
        self.no_host: Final = nameless(Reason.NO_HOST)
        self.timeout: Final = nameless(Reason.TIMEOUT)
        self.limit: Final = nameless(Reason.LIMIT)
        self.set_policy(policy)

    def set_policy(self, policy: Policy) -> None:
        """Take a new policy; every cached verdict is dropped."""
        self.policy = policy
        self.no_sni = nameless(Reason.NO_SNI, allowed=policy.no_sni_allowed)
        self.clear()

    def judge(self, host: bytes) -> Verdict:
        """The verdict as of now, past the cache: what a miss does, and what explains a host."""
        name = plain_name(host)
        if name is None:
            try:
                name, ip = canonical(host)
            except InvalidName:
                return self.malformed
            if ip is not None:
                reason = Reason.IP_HOST
                text = str(ip) if ip.version == 4 else f"[{ip}]"
                return Verdict(self.policy.ip_hosts_allowed, reason, reason.code, text)
        found = self._find(name.encode())
        if found is None:
            verdict = Verdict(False, _UNFILED, _UNFILED_CODE, name)
        else:
            start, record = found
            allowed, reason, code = _BY_STATUS[record[0] & STATUS_MASK]
            verdict = Verdict(allowed, reason, code, name, name[start:], record)
        if self._replica.current_overrides:
            self._override(verdict)
        return verdict

    def _override(self, verdict: Verdict) -> None:
        """Change a verdict where an operator decided otherwise."""
        now = self._clock()
        self._earliest, self._latest = min(self._earliest, now), max(self._latest, now)
        override = _nearest(verdict.name, self._replica.current_overrides, now)
        if override is None or (override.kind is OverrideKind.EXEMPT) == verdict.allowed:
            return
        verdict.allowed = not verdict.allowed
        verdict.reason = Reason.EXEMPT if verdict.allowed else Reason.SUSPENDED
        verdict.code = verdict.reason.code
        verdict.domain = override.domain

    def invalidate(self, domains: Iterable[str]) -> int:
        """Drop exactly the cached verdicts at or below each domain; returns how many."""
        return self._cache.invalidate(domains)

    def clear(self) -> None:
        self._cache.clear()

    def next_expiry(self, now: float) -> float | None:
        """The Unix time at which the next override ends after `now`; call `expire` then."""
        self._replica.refresh()
        ends = [
            override.until
            for override in self._replica.current_overrides.values()
            if override.until is not None and override.until > now
        ]
        return min(ends, default=None)

    def expire(self, now: float) -> int:
        """Drop the verdicts of overrides that ended by `now`; returns how many.

        If the clock went back, what had ended may be in force again: everything is dropped. That
        it went there and back between two calls is known from what was judged meanwhile.
        """
        earliest, latest = self._earliest, self._latest
        self._earliest = self._latest = now
        if now < latest:
            dropped = self._cache.currsize
            self.clear()
            return int(dropped)
        self._replica.refresh()
        ended = [
            override.domain
            for override in self._replica.current_overrides.values()
            if override.until is not None and earliest < override.until <= now
        ]
        return self.invalidate(ended)

    @property
    def stats(self) -> CacheStats:
        cache = self._cache
        return CacheStats(
            cache.misses, cache.evictions, int(cache.currsize), int(cache.maxsize), cache.seconds
        )


def _nearest(name: str, overrides: Mapping[str, Override], now: float) -> Override | None:
    for domain in parents(name):
        override = overrides.get(domain)
        if override is not None and override.active(now):
            return override
    return None
