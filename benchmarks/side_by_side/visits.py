"""What a load generator does on one connection, and how it tells that it went right.

A visit is written to a plan file by the bench and read by the generator process, so that the
generator does nothing but sockets while it runs.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Kind(IntEnum):
    """The kinds of visit, named after the outcome that is right for them."""

    REFUSED = 0
    """TLS of an unfiled name: no byte comes back, then a reset (or a close, counted apart)."""
    ANSWERED = 1
    """TLS of a filed name: `expect` bytes, then the end of the stream."""
    BULK = 2
    """TLS of a filed name: `expect` bytes, discarded in the kernel, then the end."""
    SERVED = 3
    """HTTP of a filed name: `repeat` requests on one connection, each answered with 200."""
    REDIRECTED = 4
    """HTTP of an unfiled name: one request, answered with 302, then the connection ends."""


@dataclass(slots=True, frozen=True)
class Visit:
    """One connection's work."""

    kind: Kind
    send: bytes
    expect: int = 0
    repeat: int = 1


def write_visits(path: Path, visits: Sequence[Visit]) -> Path:
    """Store visits for the generator; a trusted file, made and read by this bench."""
    path.write_bytes(pickle.dumps(list(visits)))
    return path


@dataclass(slots=True, frozen=True)
class Plan:
    """A run over stored visits: closed loop with `concurrency` at a time, or paced.

    With a `rate` (starts a second) a visit begins when its time has come, whatever the ones
    before it do, and its latency counts from that time.
    """

    tls_port: int
    http_port: int
    visits: Path
    count: int
    concurrency: int
    rate: float = 0.0
    host: str = "127.0.0.1"


@dataclass(slots=True)
class Outcome:
    """What a run of visits came to. `failures` maps a short text to its number."""

    done: list[int]
    resets: int
    closes: int
    bytes: int
    seconds: float
    failures: dict[str, int]
    latency_us: list[float]
    cpu: float = 0.0

    @property
    def failed(self) -> int:
        """All visits that did not go right."""
        return sum(self.failures.values())


@dataclass(slots=True)
class Latencies:
    """Microseconds of every answered request of a paced run, and how many went wrong."""

    microseconds: list[float]
    failures: int
