"""What a certificate authority asks of a name without a filing (ACME HTTP-01, RFC 8555 8.3).

An authority asks a few times for each certificate, from a few places. A site that has no filing
could serve its visitors at that path, so what passes is bounded: in a minute for each name, for
each client's address, and in all.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from gate.policy import Decider, Verdict
from gate.settings import Limits
from gate.wire.http1 import Framing, RequestHead

MINUTE: Final = 60.0
IN_ALL: Final = 10_000
"""Challenges that a worker lets through in a minute, whatever their names and addresses."""

# RFC 8555 8.3: base64url, of 128 bits at least (8.1).
_PATH: Final = re.compile(rb"/\.well-known/acme-challenge/[A-Za-z0-9_-]{22,256}").fullmatch


class Challenges:
    """Lets challenges of one worker through, within the bounds."""

    __slots__ = ("_addresses", "_decider", "_minute", "_names", "_passed", "_per_address",
                 "_per_name", "refused")  # fmt: skip

    def __init__(self, decider: Decider, limits: Limits, refused: Counter[str]) -> None:
        """`refused` counts those over a bound, by the bound: `name`, `address` or `worker`."""
        self._decider = decider
        self._per_name = limits.acme_per_name
        self._per_address = limits.acme_per_address
        self.refused = refused
        self._minute = -1
        self._passed = 0
        self._names: dict[str, int] = {}  # both no longer than IN_ALL
        self._addresses: dict[str, int] = {}

    def judge(self, head: RequestHead, verdict: Verdict, address: str, now: float) -> Verdict:
        """Return the verdict on a request from that on its name, which blocks it."""
        if not _is_challenge(head):
            return verdict
        passed = self._decider.decide_challenge(verdict)
        if not passed.allowed:
            return verdict
        bound = self._count(passed.name, address, now)
        if bound:
            self.refused[bound] += 1
            return verdict
        return passed

    def _count(self, name: str, address: str, now: float) -> str:
        """Count a challenge, unless that would be over a bound; return which, or ""."""
        minute = int(now // MINUTE)
        if minute != self._minute:
            self._minute = minute
            self._passed = 0
            self._names.clear()
            self._addresses.clear()
        of_name = self._names.get(name, 0)
        of_address = self._addresses.get(address, 0)
        if of_name >= self._per_name:
            return "name"
        if of_address >= self._per_address:
            return "address"
        if self._passed >= IN_ALL:
            return "worker"
        self._passed += 1
        self._names[name] = of_name + 1
        self._addresses[address] = of_address + 1
        return ""


def _is_challenge(head: RequestHead) -> bool:
    """Return whether this is what a certificate authority asks for, and no more than that."""
    return (
        head.method == b"GET"
        and head.framing is Framing.NONE
        and not head.upgrade
        and _PATH(head.target) is not None
    )
