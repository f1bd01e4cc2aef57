"""What one worker counts of QUIC: plain integers, folded into metrics when somebody asks."""

from __future__ import annotations

from collections import Counter
from typing import Any


class QuicCounters:
    """Datagrams and flows of one worker."""

    __slots__ = ("answers", "dropped", "ends", "handed_over", "moved")

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()  # datagrams of clients, by cause
        self.answers: Counter[str] = Counter()  # the gate's own datagrams, by kind
        self.ends: Counter[str] = Counter()  # of flows, by cause
        self.moved = 0
        """Flows that went on from another address."""
        self.handed_over = 0
        """Flows that another worker process took over."""

    def drop(self, cause: str) -> None:
        """Count a datagram that goes nowhere."""
        self.dropped[cause] += 1

    def answer(self, kind: str) -> None:
        """Count a datagram of the gate's own."""
        self.answers[kind] += 1

    def end(self, cause: str) -> None:
        """Count the end of a flow."""
        self.ends[cause] += 1

    def hand_over(self) -> None:
        """Count a flow of another worker's that goes on here."""
        self.handed_over += 1

    def figures(self) -> dict[str, Any]:
        """Return all of them, as nested dictionaries of plain integers."""
        return {
            "dropped": dict(self.dropped),
            "answers": dict(self.answers),
            "ended": dict(self.ends),
            "moved": self.moved,
            "handed_over": self.handed_over,
        }
