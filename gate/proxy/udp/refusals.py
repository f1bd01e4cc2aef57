"""Refused connections: remembered for a while, and answered within bounds.

A refusal is never longer than what it answers, and yet each goes to an address that may be forged:
so one connection is answered three times at most, and all answers are bounded for each address and
in all. A client that is answered no more runs into its own time-out. What is remembered also keeps
a refused client's repetitions from being opened, judged and counted again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

MEMORY_SECONDS: Final = 10.0
ANSWERS: Final = 3
"""Answers to one connection within MEMORY_SECONDS."""
REMEMBERED: Final = 2048
"""Connections that are remembered; the one that was refused first is forgotten first."""


@dataclass(slots=True)
class _Refused:
    until: float
    answer: bytes
    left: int


class QuicAnswers:
    """Bounds what the gate itself sends, per second: to one address, and to all."""

    __slots__ = ("_all", "_by_address", "_per_address", "_per_worker", "_second", "suppressed")

    def __init__(self, *, per_address: int, per_worker: int) -> None:
        self._per_address = per_address
        self._per_worker = per_worker
        self._second = 0
        self._all = 0
        self._by_address: dict[str, int] = {}  # no longer than `per_worker`
        self.suppressed = 0

    def may(self, address: str, now: float) -> bool:
        """Count an answer to `address`, unless that would be over a bound."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._all = 0
            self._by_address.clear()
        mine = self._by_address.get(address, 0)
        if self._all >= self._per_worker or mine >= self._per_address:
            self.suppressed += 1
            return False
        self._all += 1
        self._by_address[address] = mine + 1
        return True


class Refusals:
    """The connections that were refused of late, by client and connection ID."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, _Refused] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: Hashable, answer: bytes, now: float) -> None:
        """Remember one whose first `answer` goes out now; b"" for one that is not answered."""
        while len(self._known) >= REMEMBERED:
            self._known.popitem(last=False)
        self._known[key] = _Refused(now + MEMORY_SECONDS, answer, ANSWERS - 1)

    def again(self, key: Hashable, now: float) -> bytes | None:
        """Return the answer to another datagram of `key`, b"" for none; None if it is not known."""
        refused = self._known.get(key)
        if refused is None:
            return None
        if now >= refused.until:
            del self._known[key]
            return None
        if not refused.left:
            return b""
        refused.left -= 1
        return refused.answer
