"""Reaching an upstream: one endpoint of a pool after the other, until one takes the connection."""

from __future__ import annotations

from bisect import bisect_left
from enum import Enum, auto
from select import EPOLLERR, EPOLLHUP
from socket import SocketType
from typing import Protocol

from gate.histogram import BOUNDS
from gate.proxy.plane import Plane
from gate.proxy.reactor import OUT
from gate.proxy.upstream import EXHAUSTED, Endpoint, Pool

# Bucket of a connection that was there before its first bytes were sent, which takes the kernel
# less than that bucket's bound; the clock is not read for it.
_AT_ONCE = bisect_left(BOUNDS, 0.000_1)
_BROKEN = EPOLLERR | EPOLLHUP


class Miss(Enum):
    """Why no endpoint could be had; of several reasons, that of the last one tried."""

    FAILED = auto()  # refused, or broke off
    TIMED_OUT = auto()
    EXHAUSTED = auto()  # the gate is out of descriptors, memory or local ports


class Caller(Protocol):
    """Who dials. Exactly one of these is called, possibly before `Dial.start` returns."""

    def connected(self, sock: SocketType, endpoint: Endpoint, sent: int) -> None:
        """`sock` is connected, not watched, and has taken `sent` bytes of the first ones."""
        ...

    def unreachable(self, why: Miss) -> None:
        """Every endpoint was tried in vain."""
        ...

    def abort(self) -> None:
        """The dial broke, or is to end: end the client's connection, and the dial with it."""
        ...

    @property
    def connection(self) -> str:
        """The name of the client's connection in the log."""
        ...


class Dial:
    """An attempt to connect, sending `first` as soon as may be."""

    __slots__ = (
        "_deadline",
        "_endpoint",
        "_first",
        "_plane",
        "_pool",
        "_sock",
        "_started",
        "_tries",
        "bucket",
        "caller",
    )

    def __init__(self, plane: Plane, pool: Pool, first: bytes, caller: Caller) -> None:
        self._plane = plane
        self._pool = pool
        self._first = first
        self.caller: Caller | None = caller  # None once it was told
        self._tries = len(pool.endpoints)
        self._sock: SocketType | None = None
        self._endpoint = pool.endpoints[0]
        self._deadline = 0.0
        self._started = 0.0
        self.bucket = 0

    @property
    def connection(self) -> str:
        """The name of the connection that it dials for, in the log; "" once it was told."""
        return "" if self.caller is None else self.caller.connection

    def start(self, why: Miss = Miss.FAILED) -> None:
        """Try endpoints until one is connected, one is under way, or all have failed.

        `why` is what befell the last one that was tried.
        """
        caller = self.caller
        if caller is None:
            return
        reactor = self._plane.reactor
        while self._tries > 0:
            self._tries -= 1
            self._endpoint = endpoint = self._pool.single or self._pool.pick(reactor.now)
            try:
                sock = endpoint.connect()
            except OSError as error:
                why = self._blame(error)
                continue
            try:
                # An upstream that is near has accepted by now: no need to wait for readiness.
                sent = sock.send(self._first)
            except BlockingIOError:
                self._sock = sock
                self._started = reactor.now
                self._deadline = reactor.now + self._plane.settings.upstreams.connect_timeout
                reactor.watch(sock.fileno(), OUT, self.on_ready)
                reactor.schedule(self, self._deadline)
                return
            except OSError as error:
                sock.close()
                why = self._blame(error)
                continue
            endpoint.resting_until = 0.0
            self._plane.connect_seconds.counts[_AT_ONCE] += 1
            caller.connected(sock, endpoint, sent)
            self.caller = None
            return
        self._give_up(caller, why)

    def on_ready(self, events: int) -> None:
        """The socket is connected or has failed."""
        sock, caller = self._sock, self.caller
        if sock is None or caller is None:
            return
        self._let_go()
        try:
            sent = 0 if events & _BROKEN else sock.send(self._first)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._plane.reactor.retire(sock)
            self.start(self._blame(error))
            return
        if events & _BROKEN:
            self._plane.reactor.retire(sock)
            self._count_failure()
            self.start()
            return
        self._plane.reactor.unwatch(sock.fileno())
        self._plane.connect_seconds.observe(self._plane.reactor.now - self._started)
        self._endpoint.resting_until = 0.0
        caller.connected(sock, self._endpoint, sent)
        self.caller = None

    def check(self, now: float) -> float:
        """Give up on an endpoint that does not answer, and try the next."""
        if self._sock is None:
            return 0.0
        if now < self._deadline:
            return self._deadline
        caller = self.caller
        self._plane.reactor.retire(self._sock)
        self._sock = None
        self._count_failure()
        if self._tries:
            self.start()
        elif caller is not None:
            self._give_up(caller, Miss.TIMED_OUT)
        return 0.0

    def abort(self) -> None:
        """End what it dials for: its caller, while it dials, may be known to nobody else."""
        if self.caller is not None:
            self.caller.abort()

    def cancel(self) -> None:
        """Stop dialling; the caller is not told."""
        self.caller = None
        sock = self._sock
        if sock is not None:
            self._let_go()
            self._plane.reactor.retire(sock)

    def _let_go(self) -> None:
        self._plane.reactor.unschedule(self)
        self._sock = None

    def _give_up(self, caller: Caller, why: Miss) -> None:
        caller.unreachable(why)
        self.caller = None

    def _blame(self, error: OSError) -> Miss:
        """Count a failure, if it is the endpoint's."""
        if error.errno in EXHAUSTED:
            return Miss.EXHAUSTED
        self._count_failure()
        return Miss.FAILED

    def _count_failure(self) -> None:
        rest = self._plane.settings.upstreams.rest_seconds
        self._endpoint.failed(self._plane.reactor.now, rest)
