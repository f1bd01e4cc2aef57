"""What one worker counts: plain integers, folded into metrics when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Any, Final

from gate.histogram import BOUNDS, Histogram

SCHEMES: Final = ("http", "tls", "quic")
HTTP: Final = 0
TLS: Final = 1
QUIC: Final = 2
"""What a client speaks: the index of its counts, and the name in metrics and logs."""

# Bucket of a connection that was there before its first bytes were sent, which takes the kernel
# less than that bucket's bound; the clock is not read for it.
_AT_ONCE: Final = bisect_left(BOUNDS, 0.000_1)


class Counters:
    """The traffic of one worker. Histograms are in seconds."""

    __slots__ = (
        "bytes_down",
        "bytes_up",
        "challenges_refused",
        "connect_seconds",
        "ech_hellos",
        "ends",
        "first_bytes_seconds",
        "malformed_kinds",
        "requests",
        "responses",
    )

    def __init__(self) -> None:
        self.bytes_up = 0
        self.bytes_down = 0
        self.requests = 0
        self.responses = [0] * 10  # by first digit of the status
        self.ech_hellos = 0
        self.challenges_refused: Counter[str] = Counter()  # of ACME, by the bound they were over
        self.connect_seconds = Histogram()  # to an upstream
        self.first_bytes_seconds = Histogram()  # from accept until it can be judged
        self.ends: Counter[str] = Counter()  # of connections, by cause
        self.malformed_kinds: Counter[str] = Counter()  # of first bytes, by what is wrong

    def up(self, count: int) -> None:
        """Count bytes that were sent to an upstream."""
        self.bytes_up += count

    def down(self, count: int) -> None:
        """Count bytes that were sent to a client."""
        self.bytes_down += count

    def request(self) -> None:
        """Count a request."""
        self.requests += 1

    def response(self, status: int) -> None:
        """Count a response by its status."""
        self.responses[status // 100] += 1

    def ech(self) -> None:
        """Count a ClientHello with the encrypted_client_hello extension."""
        self.ech_hellos += 1

    def malformed(self, fault: str) -> None:
        """Count a connection whose first bytes are malformed, by the kind of the fault."""
        self.malformed_kinds[fault] += 1

    def connected(self, seconds: float) -> None:
        """Count a connection to an upstream by the time that it took."""
        self.connect_seconds.observe(seconds)

    def connected_at_once(self, count: int = 1) -> None:
        """Count connections to upstreams that were there when the call came back."""
        self.connect_seconds.counts[_AT_ONCE] += count

    def first_bytes(self, seconds: float) -> None:
        """Count a connection that had to wait for its first bytes."""
        self.first_bytes_seconds.observe(seconds)

    def end(self, cause: str) -> None:
        """Count the end of a connection, or a mishap on its way, by its cause."""
        self.ends[cause] += 1

    def figures(self) -> dict[str, Any]:
        """Return all of them, as nested dictionaries of plain integers."""
        return {
            "connections_ended": dict(self.ends),
            "requests": self.requests,
            "responses": {f"{c}xx": self.responses[c] for c in range(1, 5)}
            # RFC 9110 15: what is above 599 is to be taken for a 5xx.
            | {"5xx": sum(self.responses[5:])},
            "bytes": {"up": self.bytes_up, "down": self.bytes_down},
            "upstream_connect_seconds": self.connect_seconds.figures(),
            "first_bytes_seconds": self.first_bytes_seconds.figures(),
            "first_bytes_malformed": dict(self.malformed_kinds),
            "ech_hellos": self.ech_hellos,
            "challenges_refused": dict(self.challenges_refused),
        }
