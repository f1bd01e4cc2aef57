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

from gate.filings import Override, OverrideKind
from gate.histogram import Histogram
from gate.names import InvalidName, canonical, parents, plain_name
from gate.policy.cache import SHARED, Seen, VerdictCache
from gate.policy.verdict import REASONS, Reason, Verdict, nameless
from gate.replica import Replica
from gate.replica.records import (
    FILED,
    FILED_ELSEWHERE,
    REVOKED,
    STATUS_MASK,
    SUSPENDED,
    licence_of,
)

try:
    from gate.native.verdicts import VerdictRing, describe
except ImportError:  # nothing was compiled
    VerdictRing = None  # type: ignore[assignment,misc]
else:
    describe(REASONS, licence_of)

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
_CHALLENGED: Final = frozenset({Reason.UNFILED, Reason.FILED_ELSEWHERE})


@dataclass(slots=True, frozen=True)
class Policy:
    """What happens where no filing can decide.

    `ech_allowed` says that the outer name of an Encrypted Client Hello counts as any other,
    `acme_allowed` that a certificate authority may look at names that are not filed here.
    """

    ip_hosts_allowed: bool = False
    no_sni_allowed: bool = False
    no_host_allowed: bool = False
    ech_allowed: bool = True
    acme_allowed: bool = False


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
        native: bool = True,
    ) -> None:
        """`native` has the cache be the compiled one, where there is one."""
        self._replica = replica
        self._find = replica.find
        self._clock = clock
        self._cache = cache = self._made(size, native)
        self._earliest = self._latest = clock()  # of the times by which it judged since `expire`
        self.decide = cache.__getitem__ if isinstance(cache, VerdictCache) else cache.decide
        self.malformed: Final = nameless(Reason.MALFORMED)
        self.timeout: Final = nameless(Reason.TIMEOUT)
        self.limit: Final = nameless(Reason.LIMIT)
        self.not_intercepted: Final = nameless(Reason.NOT_INTERCEPTED)
        self._malformed: dict[str, Verdict] = {}  # by kind of fault
        self.set_policy(policy)

    def _made(self, size: int, native: bool) -> VerdictCache | VerdictRing:
        if not native or VerdictRing is None:
            return VerdictCache(size, self.judge)
        statuses = {status: (allowed, code) for status, (allowed, _, code) in _BY_STATUS.items()}
        return VerdictRing(size, self.judge, self._replica, statuses, _UNFILED_CODE, SHARED)

    @property
    def ring(self) -> VerdictRing | None:
        """The compiled cache, if it is the one."""
        return None if isinstance(self._cache, VerdictCache) else self._cache

    def tell_seen(self, seen: Seen) -> None:
        """Have `seen` told of each verdict that was not in the cache, and lets pass."""
        self._cache.seen = seen

    def set_policy(self, policy: Policy) -> None:
        """Take a new policy; every cached verdict is dropped."""
        self.policy = policy
        self.no_sni = nameless(Reason.NO_SNI, allowed=policy.no_sni_allowed)
        self.no_host = nameless(Reason.NO_HOST, allowed=policy.no_host_allowed)
        self.clear()

    def malformed_by(self, fault: str) -> Verdict:
        """Return the verdict on what is malformed in this way, of which there are a few."""
        verdict = self._malformed.get(fault)
        if verdict is None:
            verdict = self._malformed[fault] = nameless(Reason.MALFORMED, fault=fault)
        return verdict

    def decide_request(self, host: bytes | None) -> Verdict:
        """Return the verdict on an HTTP request, by its authority as received.

        Raises ReplicaError if the replica cannot be read.
        """
        return self.decide(host) if host else self.no_host

    def decide_challenge(self, verdict: Verdict) -> Verdict:
        """Return the verdict on an ACME HTTP-01 request (RFC 8555 8.3), from that on its name.

        Only a missing filing is overlooked: what was revoked, or an operator suspended, stays shut.
        """
        if self.policy.acme_allowed and verdict.reason in _CHALLENGED:
            return Verdict(True, Reason.ACME, Reason.ACME.code, verdict.name)
        return verdict

    def decide_hello(self, sni: bytes | None, ech: bool) -> Verdict:
        """Return the verdict on a ClientHello, by its server name as received.

        `ech` says that it has the encrypted_client_hello extension, beside which `sni` is the
        outer name. What the compiled plane judges by the name alone never comes here: see
        `_take_tls` in `gate/native/listening.pyx`. Raises ReplicaError if the replica cannot be
        read.
        """
        verdict = self.decide(sni) if sni else self.no_sni
        if sni and b":" in sni and verdict.name and (sni.count(b":") == 1 or b"]:" in sni):
            # A port, as a Host may have it; RFC 6066 section 3 knows none in a HostName. (More
            # colons are in an IPv6 address, with brackets or without.)
            return _blocked(verdict, Reason.MALFORMED)
        if ech and verdict.allowed and not self.policy.ech_allowed:
            return _blocked(verdict, Reason.ECH)
        return verdict

    def judge(self, host: bytes) -> Verdict:
        """Return the verdict as of now, past the cache.

        What a miss does, and what explains a host.
        """
        name = plain_name(host)
        if name is None:
            try:
                read = canonical(host)
            except InvalidName:
                return self.malformed
            if read.ip is not None:
                reason = Reason.IP_HOST
                return Verdict(self.policy.ip_hosts_allowed, reason, reason.code, read.text)
            name = read.name
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
        """Return the Unix time at which the next override ends after `now`; call `expire` then."""
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


def _blocked(verdict: Verdict, reason: Reason) -> Verdict:
    """Return a block for another reason, of the name that was asked for."""
    return Verdict(False, reason, reason.code, verdict.name)


def _nearest(name: str, overrides: Mapping[str, Override], now: float) -> Override | None:
    for domain in parents(name):
        override = overrides.get(domain)
        if override is not None and override.active(now):
            return override
    return None
