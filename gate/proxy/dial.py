"""Reaching an upstream: one endpoint of a pool after the other, until one takes the connection."""

from __future__ import annotations

from select import EPOLLERR, EPOLLHUP
from socket import SocketType
from typing import Protocol

from gate.proxy.connection import Connection
from gate.proxy.failure import CONNECT_TIMEOUT, EXHAUSTED, UNREACHABLE, Failure
from gate.proxy.plane import Plane
from gate.proxy.reactor import OUT
from gate.proxy.upstream import OUT_OF_RESOURCES, OriginEndpoint, Pool

_BROKEN = EPOLLERR | EPOLLHUP


class Dialler(Protocol):
    """Who dials. Exactly one of these is called, possibly before `Dial.start` returns."""

    def connected(self, sock: SocketType, endpoint: OriginEndpoint, sent: int) -> None:
        """`sock` is connected, not watched, and has taken `sent` bytes of the first ones."""
        ...

    def unreachable(self, failure: Failure) -> None:
        """Every endpoint was tried in vain; `failure` is that of the last one."""
        ...

    def abort(self, cause: str = "aborted") -> None:
        """The dial broke, or is to end: end the client's connection, and the dial with it."""
        ...

    @property
    def connection(self) -> Connection:
        """The client's connection."""
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

    def __init__(self, plane: Plane, pool: Pool, first: bytes, caller: Dialler) -> None:
        self._plane = plane
        self._pool = pool
        self._first = first
        self.caller: Dialler | None = caller  # None once it was told
        self._tries = len(pool.endpoints)
        self._sock: SocketType | None = None
        self._endpoint = pool.endpoints[0]
        self._deadline = 0.0
        self._started = 0.0
        self.bucket = 0

    @property
    def connection(self) -> Connection | None:
        """The client's connection that it dials for; None once its caller was told."""
        return None if self.caller is None else self.caller.connection

    def start(self, endpoint: OriginEndpoint | None = None, failure: Failure = UNREACHABLE) -> None:
        """Try endpoints until one is connected, one is under way, or all have failed.

        `endpoint` is tried first, if one is given; else whose turn it is. `failure` is that of
        the last one that was tried.
        """
        caller = self.caller
        if caller is None:
            return
        reactor = self._plane.reactor
        while self._tries > 0:
            self._tries -= 1
            if endpoint is None:
                endpoint = self._pool.single or self._pool.pick(reactor.now)
            self._endpoint = endpoint
            try:
                sock = endpoint.connect()
            except OSError as error:
                failure = self._failed(error)
                endpoint = None
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
                failure = self._failed(error)
                endpoint = None
                continue
            endpoint.works()
            self._plane.counters.connected_at_once()
            caller.connected(sock, endpoint, sent)
            self.caller = None
            return
        self._give_up(caller, failure)

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
            self.start(failure=self._failed(error))
            return
        if events & _BROKEN:
            self._plane.reactor.retire(sock)
            self._count_failure()
            self.start()
            return
        self._plane.reactor.unwatch(sock.fileno())
        self._plane.counters.connected(self._plane.reactor.now - self._started)
        self._endpoint.works()
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
            self._give_up(caller, CONNECT_TIMEOUT)
        return 0.0

    def abort(self, cause: str = "aborted") -> None:
        """End what it dials for: its caller, while it dials, may be known to nobody else."""
        if self.caller is not None:
            self.caller.abort(cause)

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

    def _give_up(self, caller: Dialler, failure: Failure) -> None:
        caller.unreachable(failure)
        self.caller = None

    def _failed(self, error: OSError) -> Failure:
        """Return what a failed try is to be called, and count it if it is the endpoint's fault."""
        if error.errno in OUT_OF_RESOURCES:
            return EXHAUSTED
        self._count_failure()
        return UNREACHABLE

    def _count_failure(self) -> None:
        rest = self._plane.settings.upstreams.rest_seconds
        self._endpoint.failed(self._plane.reactor.now, rest)
