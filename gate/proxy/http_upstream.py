"""Connections to HTTP upstreams: one exchange at a time, kept for reuse between exchanges."""

from __future__ import annotations

from select import EPOLLIN
from socket import MSG_PEEK, SocketType
from typing import Protocol

from gate.proxy.plane import Plane
from gate.proxy.upstream import Endpoint


class Exchange(Protocol):
    """Who uses an upstream connection at the moment."""

    def on_upstream(self, events: int) -> None:
        """The upstream's socket is ready."""
        ...

    def upstream_stale(self) -> None:
        """The kept connection had ended, or was out of step, before the request was sent."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...

    @property
    def connection(self) -> str:
        """The name of the client's connection in the log."""
        ...


class UpstreamConnection:
    """A connected, watched socket to one endpoint."""

    __slots__ = ("endpoint", "events", "idle_since", "owner", "plane", "reused", "sock", "taken")

    def __init__(self, plane: Plane, sock: SocketType, endpoint: Endpoint, owner: Exchange) -> None:
        self.plane = plane
        self.sock = sock
        self.endpoint = endpoint
        self.owner: Exchange | None = owner
        self.reused = False
        self.idle_since = 0.0
        self.taken = 0.0  # the reactor's time when it was last taken for an exchange
        self.events = EPOLLIN
        plane.reactor.watch(sock.fileno(), EPOLLIN, self.on_ready)

    @property
    def connection(self) -> str:
        """The name of the connection that it serves, in the log; "" between exchanges."""
        return "" if self.owner is None else self.owner.connection

    def on_ready(self, events: int) -> None:
        """Hand readiness to the exchange; between exchanges it can only mean the end."""
        owner = self.owner
        if owner is None:
            self.endpoint.idle.remove(self)
            self.plane.reactor.retire(self.sock)
        elif self.taken == self.plane.reactor.now:
            # Seen by the kernel before the request was sent: the end, or bytes that nobody has
            # asked for, which must not be taken for the response.
            owner.upstream_stale()
        else:
            owner.on_upstream(events)

    def abort(self) -> None:
        """End the exchange that it serves, with resets; or the connection, if it serves none."""
        owner = self.owner
        if owner is not None:
            owner.abort()
            return
        if self in self.endpoint.idle:
            self.endpoint.idle.remove(self)
        self.close()

    def take(self, owner: Exchange, request: bytes, once: bool) -> int:
        """Use a kept connection for another exchange; return how much of `request` it has taken.

        -1 says that it turned out to be dead, has sent nothing, and was closed. `once` says that
        the request must not be sent again: then it is asked first whether it has ended, because
        what is written to a connection that has ended may count as sent (RFC 9110 9.2.2).
        """
        self.owner = owner
        self.taken = self.plane.reactor.now
        if once and self.stale():
            self.close()
            return -1
        try:
            return self.sock.send(request)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()
            return -1

    def stale(self) -> bool:
        """Whether it has ended, or sent what nobody asked for."""
        try:
            self.sock.recv(1, MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def want(self, events: int) -> None:
        """Wait for other events, if they are other."""
        if events != self.events:
            self.events = events
            self.plane.reactor.update(self.sock.fileno(), events, self.on_ready)

    def unwatch(self) -> None:
        """Wait for nothing at all, not even the end."""
        self.events = -1
        self.plane.reactor.unwatch(self.sock.fileno())

    def release(self) -> None:
        """Keep the connection for the next exchange, or close it if enough are kept."""
        idle = self.endpoint.idle
        if len(idle) >= self.plane.settings.upstreams.max_idle_per_address:
            self.close()
            return
        self.owner = None
        self.reused = True
        self.idle_since = self.plane.reactor.now
        self.want(EPOLLIN)
        idle.append(self)

    def close(self) -> None:
        """Close it for good."""
        self.owner = None
        self.plane.reactor.retire(self.sock)


def close_idle(endpoint: Endpoint, older_than: float) -> None:
    """Close idle connections that were released before `older_than` (monotonic seconds)."""
    idle = endpoint.idle
    stale = 0
    while stale < len(idle) and idle[stale].idle_since < older_than:
        idle[stale].close()
        stale += 1
    del idle[:stale]
