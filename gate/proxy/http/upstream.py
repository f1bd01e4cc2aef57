"""Connections to HTTP upstreams: one exchange at a time, kept for reuse between exchanges."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from select import EPOLLIN
from socket import MSG_PEEK, SocketType
from typing import Protocol

from gate.proxy.connection import Connection
from gate.proxy.reactor import Reactor
from gate.proxy.upstream import OriginEndpoint, Pool


class UpstreamOwner(Protocol):
    """Who uses an upstream connection at the moment."""

    def on_upstream(self, events: int) -> None:
        """The upstream's socket is ready."""
        ...

    def upstream_ended(self) -> None:
        """The kept connection had ended, or was out of step, before the request was sent."""
        ...

    def abort(self, cause: str = "aborted") -> None:
        """End at once."""
        ...

    @property
    def connection(self) -> Connection:
        """The client's connection."""
        ...


class IdlePool:
    """The upstream connections that no exchange uses, by whom they lead to.

    Of one endpoint's the one that was used last is taken first, so that those which are not
    needed grow old and are closed.
    """

    __slots__ = ("_idle", "_most", "_others", "_reactor")

    def __init__(self, reactor: Reactor, most: int) -> None:
        """`most` is how many are kept for one endpoint."""
        self._reactor = reactor
        self._most = most
        self._idle: dict[Hashable, list[UpstreamConnection]] = {}
        self._others: Callable[[OriginEndpoint], SocketType | None] = lambda endpoint: None

    def take_also(self, others: Callable[[OriginEndpoint], SocketType | None]) -> None:
        """Take from `others` where none is kept here: the socket of a connection, not watched."""
        self._others = others

    def take(self, endpoint: OriginEndpoint, owner: UpstreamOwner) -> UpstreamConnection | None:
        """Return a kept connection to that endpoint, if there is one."""
        idle = self._idle.get(endpoint)
        if idle:
            return idle.pop()
        sock = self._others(endpoint)
        if sock is None:
            return None
        connection = self.new(sock, endpoint, owner)
        connection.reused = True
        return connection

    def new(
        self, sock: SocketType, endpoint: OriginEndpoint, owner: UpstreamOwner
    ) -> UpstreamConnection:
        """Return a connection, which is to be kept here when its first exchange is over."""
        return UpstreamConnection(self._reactor, self, sock, endpoint, owner)

    def keep(self, connection: UpstreamConnection) -> bool:
        """Keep a connection for the next exchange; False if enough are kept."""
        idle = self._idle.get(connection.endpoint)
        if idle is None:
            idle = self._idle[connection.endpoint] = []
        if len(idle) >= self._most:
            return False
        idle.append(connection)
        return True

    def remove(self, connection: UpstreamConnection) -> None:
        """Forget a kept connection, which ends."""
        self._idle[connection.endpoint].remove(connection)

    def holds(self, connection: UpstreamConnection) -> bool:
        """Return whether it is one of those that are kept."""
        return connection in self._idle.get(connection.endpoint, ())

    def count(self, endpoint: OriginEndpoint) -> int:
        """Return how many are kept for an endpoint."""
        return len(self._idle.get(endpoint, ()))

    def close_of(self, endpoint: OriginEndpoint) -> None:
        """Close those that lead to an endpoint which nobody asks for any more."""
        for connection in self._idle.pop(endpoint, ()):
            connection.close()

    def close_unused(self, since: float = float("inf")) -> None:
        """Close those that nobody has used since then (monotonic seconds)."""
        for endpoint, idle in list(self._idle.items()):
            old = 0
            while old < len(idle) and idle[old].idle_since < since:
                idle[old].close()
                old += 1
            del idle[:old]
            if not idle:
                del self._idle[endpoint]


class UpstreamConnection:
    """A connected, watched socket to one endpoint.

    `reused` says that it has carried an exchange before; `idle_since` and `taken` are the
    reactor's time when it was last released, and taken for an exchange.
    """

    __slots__ = (
        "_pool",
        "_reactor",
        "endpoint",
        "events",
        "idle_since",
        "owner",
        "reused",
        "sock",
        "taken",
    )

    def __init__(
        self,
        reactor: Reactor,
        pool: IdlePool,
        sock: SocketType,
        endpoint: OriginEndpoint,
        owner: UpstreamOwner,
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self.sock = sock
        self.endpoint = endpoint
        self.owner: UpstreamOwner | None = owner
        self.reused = False
        self.idle_since = 0.0
        self.taken = 0.0
        self.events = EPOLLIN
        reactor.watch(sock.fileno(), EPOLLIN, self.on_ready)

    @property
    def connection(self) -> Connection | None:
        """The client's connection that it serves; None between exchanges."""
        return None if self.owner is None else self.owner.connection

    def on_ready(self, events: int) -> None:
        """Hand readiness to the exchange; between exchanges it can only mean the end."""
        owner = self.owner
        if owner is None:
            self._pool.remove(self)
            self._reactor.retire(self.sock)
        elif self.taken == self._reactor.now:
            # Seen by the kernel before the request was sent: the end, or bytes that nobody has
            # asked for, which must not be taken for the response.
            owner.upstream_ended()
        else:
            owner.on_upstream(events)

    def abort(self) -> None:
        """End the exchange that it serves, with resets; or the connection, if it serves none."""
        owner = self.owner
        if owner is not None:
            owner.abort()
            return
        if self._pool.holds(self):
            self._pool.remove(self)
        self.close()

    def take(self, owner: UpstreamOwner, request: bytes, once: bool) -> int:
        """Use a kept connection for another exchange; return how much of `request` it has taken.

        -1 says that it turned out to be dead, has sent nothing, and was closed. `once` says that
        the request must not be sent again: then it is asked first whether it has ended, because
        what is written to a connection that has ended may count as sent (RFC 9110 9.2.2).
        """
        self.owner = owner
        self.taken = self._reactor.now
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
        """Return whether it has ended, or sent what nobody asked for."""
        try:
            self.sock.recv(1, MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def lives(self) -> None:
        """It has sent a part of its answer: if it breaks now, that is a failure of its own."""
        self.reused = False

    def want(self, events: int) -> None:
        """Wait for other events, if they are other."""
        if events != self.events:
            self.events = events
            self._reactor.update(self.sock.fileno(), events, self.on_ready)

    def unwatch(self) -> None:
        """Wait for nothing at all, not even the end."""
        self.events = -1
        self._reactor.unwatch(self.sock.fileno())

    def release(self) -> None:
        """Keep the connection for the next exchange, or close it if enough are kept."""
        if not self._pool.keep(self):
            self.close()
            return
        self.owner = None
        self.reused = True
        self.idle_since = self._reactor.now
        self.want(EPOLLIN)

    def park(self) -> None:
        """Keep the connection for its owner alone; what comes of it meanwhile is the owner's."""
        self.reused = True
        self.want(EPOLLIN)

    def close(self) -> None:
        """Close it for good."""
        self.owner = None
        self._reactor.retire(self.sock)


class OwnConnection:
    """The upstream connection that one client's connection has for itself.

    NTLM and Negotiate authenticate a connection (RFC 4559 6): what is asked on it afterwards is
    asked in the name of whoever did that. So from the first sign of them a client shares no
    upstream connection with anybody, and its own is closed with it.
    """

    __slots__ = ("_parked",)

    def __init__(self) -> None:
        self._parked: UpstreamConnection | None = None

    def take(self, pool: Pool) -> UpstreamConnection | None:
        """Return the connection, if there is one and it leads to an endpoint of `pool`."""
        parked = self._parked
        if parked is None:
            return None
        self._parked = None
        if parked.endpoint in pool.endpoints:
            return parked
        parked.close()
        return None

    def keep(self, connection: UpstreamConnection) -> None:
        """Keep the connection for the client's next request."""
        self._parked = connection
        connection.park()

    def close(self) -> None:
        """Close it, if there is one: it or its client has ended."""
        parked, self._parked = self._parked, None
        if parked is not None:
            parked.close()
