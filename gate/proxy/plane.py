"""What all connections of one worker share: reactor, decider, routes, limits and figures.

Figures are plain ints; they are folded into Prometheus metrics when somebody asks.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET, SocketType
from typing import Any

from gate.histogram import Histogram
from gate.policy import Decider, Reason, Verdict
from gate.proxy.answers import Answers
from gate.proxy.flow import BUFFER_BYTES
from gate.proxy.pipes import PipePool
from gate.proxy.reactor import Reactor
from gate.proxy.upstream import Router
from gate.settings import Listener, Mode, Settings
from gate.wire.http1 import RequestParser, ResponseParser

LINGER_RESET = struct.pack("ii", 1, 0)  # close() discards what is queued and sends a RST
LINGER_OFF = struct.pack("ii", 0, 0)

READ_BYTES = 1 << 14  # the most that is read of a client at once before it is judged
OVER_BUDGET = "pending_bytes"  # the cause of an end: the budget for unjudged bytes is used up

LINGER_SECONDS = 2.0  # how long a finished HTTP client may take to close its side

# A client's IP address and port, as accept() gives them (IPv6 with two more numbers) or as a
# trusted PROXY header says.
Peer = tuple[Any, ...]

# (listener name, scheme, client address, verdict, passed, number of the connection: the listener's
# count of accepted ones in this worker)
Observer = Callable[[str, str, str, Verdict, bool, int], None]


class ListenerState:
    """One listener's run-time state: its mode, and its decisions by scheme and reason."""

    __slots__ = ("accepted", "blocked", "enforcing", "passed", "settings", "waved")

    def __init__(self, settings: Listener) -> None:
        self.settings = settings
        self.enforcing = settings.mode is Mode.ENFORCE
        self.accepted = 0
        reasons = len(Reason)
        # Decisions by reason code, for (HTTP, TLS): let through as allowed, blocked, and let
        # through although they would be blocked (monitor mode).
        self.passed = ([0] * reasons, [0] * reasons)
        self.blocked = ([0] * reasons, [0] * reasons)
        self.waved = ([0] * reasons, [0] * reasons)


@dataclass(slots=True)
class Plane:
    """The shared state of one worker's data plane."""

    settings: Settings
    run: str
    """Tells this worker process from every other, in the names of connections."""
    reactor: Reactor
    decider: Decider
    router: Router
    observe: Observer
    answers: Answers
    requests_parser: RequestParser
    responses_parser: ResponseParser
    response_timeout: float
    blocks_ech: bool = False
    observing: bool = False  # whether allowed traffic is observed too
    shortest: float = LINGER_SECONDS  # the shortest time-out that an HTTP connection may set
    pipes: PipePool = field(default_factory=PipePool)
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(BUFFER_BYTES)))
    draining: bool = False
    open: int = 0
    pending: int = 0  # bytes that wait for more before they can be judged, or for an upstream
    bytes_up: int = 0
    bytes_down: int = 0
    requests: int = 0
    ech: int = 0
    responses: list[int] = field(default_factory=lambda: [0] * 10)  # by first digit of the status
    connect_seconds: Histogram = field(default_factory=Histogram)  # to an upstream
    first_bytes_seconds: Histogram = field(default_factory=Histogram)  # accept to judgeable
    ends: Counter[str] = field(default_factory=Counter)  # connections by the cause of their end
    by_address: dict[str, int] = field(default_factory=dict)

    def connection(self, listener: ListenerState, number: int) -> str:
        """The name that a connection has in all lines of the log."""
        return connection_name(self.run, listener.settings.name, number)

    def admit(self, address: str) -> bool:
        """Count a connection of `address` in, unless that would be over a limit."""
        limits = self.settings.limits
        mine = self.by_address.get(address, 0)
        if self.open >= limits.connections_per_worker or mine >= limits.connections_per_address:
            return False
        self.open += 1
        self.by_address[address] = mine + 1
        return True

    def readmit(self, before: str, address: str) -> bool:
        """Count a connection under the address that a trusted PROXY header gives for it.

        False if that address has too many; the connection still counts under it.
        """
        mine = self.by_address.get(address, 0)
        self._forget(before)
        self.by_address[address] = mine + 1
        return mine < self.settings.limits.connections_per_address

    def hold(self, count: int) -> bool:
        """Count bytes in that cannot be judged yet, unless that would be over the budget.

        What is judged in the read that brought it is never counted.
        """
        if self.pending + count > self.settings.limits.pending_bytes:
            return False
        self.pending += count
        return True

    @property
    def full(self) -> bool:
        """Whether the budget has no room for another read."""
        return self.pending + READ_BYTES > self.settings.limits.pending_bytes

    def leave(self, address: str, cause: str) -> None:
        """Count a connection out again, with the cause of its end."""
        self.open -= 1
        self.ends[cause] += 1
        self._forget(address)

    def _forget(self, address: str) -> None:
        left = self.by_address[address] - 1
        if left:
            self.by_address[address] = left
        else:
            del self.by_address[address]


def connection_name(run: str, listener: str, number: int) -> str:
    """The name of a connection: unlike that of any other, in whichever worker."""
    return f"{run}-{listener}-{number}"


def reset(sock: SocketType) -> None:
    """Make the close that follows send a RST."""
    sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_RESET)
