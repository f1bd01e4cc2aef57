"""Where allowed traffic goes: endpoints, pools with passive health, and routes by domain.

An endpoint that refuses, times out or breaks before it answers rests for a while; a pool hands
out its endpoints in turn and passes over those that rest, unless all do. What the gate itself is
short of is no endpoint's failure.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from socket import SocketType
from typing import TYPE_CHECKING

from gate.settings import Address, UpstreamPool, Upstreams

if TYPE_CHECKING:
    from gate.proxy.http_upstream import UpstreamConnection

_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_UNDER_WAY = (0, errno.EINPROGRESS)
# The gate, or its machine, has no descriptor, memory or local port left.
EXHAUSTED = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
)


class UpstreamError(Exception):
    """No upstream can be had: the message says which route, and what to configure."""


class Endpoint:
    """One upstream address, with its health, its figures and its idle HTTP connections."""

    __slots__ = ("_address", "_family", "connects", "failures", "idle", "name", "resting_until")

    def __init__(self, address: Address) -> None:
        self.name = str(address)
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        self._family = found[0]
        self._address = found[4]
        self.connects = 0
        self.failures = 0
        self.resting_until = 0.0
        self.idle: list[UpstreamConnection] = []

    def connect(self) -> SocketType:
        """Start a connection; the socket is non-blocking and may still be connecting.

        Raises OSError when it fails at once.
        """
        sock = SocketType(self._family, _STREAM)
        self.connects += 1
        result = sock.connect_ex(self._address)
        if result not in _UNDER_WAY:
            sock.close()
            raise OSError(result, f"cannot connect to {self.name}")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def failed(self, now: float, rest_seconds: float) -> None:
        """Count a failure and rest until `now` + `rest_seconds` (monotonic)."""
        self.failures += 1
        self.resting_until = now + rest_seconds


class Pool:
    """The endpoints of one route for one kind of traffic, in turn."""

    __slots__ = ("_next", "endpoints", "route", "send_proxy", "single", "speaks_proxy")

    def __init__(self, endpoints: list[Endpoint], send_proxy: str, route: str = "default") -> None:
        self.endpoints = endpoints
        self.route = route
        self.single = endpoints[0] if len(endpoints) == 1 else None
        self.send_proxy = send_proxy
        self.speaks_proxy = send_proxy != "off"
        self._next = 0

    def pick(self, now: float) -> Endpoint:
        """The next endpoint that does not rest; if all do, the one that is up again soonest."""
        endpoints = self.endpoints
        start = self._next
        self._next = (start + 1) % len(endpoints)
        for offset in range(len(endpoints)):
            endpoint = endpoints[(start + offset) % len(endpoints)]
            if endpoint.resting_until <= now:
                return endpoint
        return min(endpoints, key=lambda e: e.resting_until)


class Router:
    """Chooses the pool for a canonical domain name: exact match, then the longest suffix."""

    def __init__(self, settings: Upstreams) -> None:
        self._shared: dict[str, Endpoint] = {}
        self._default = self._pools(settings.default)
        self._exact: dict[str, tuple[Pool, Pool]] = {}
        self._suffix: dict[str, tuple[Pool, Pool]] = {}
        for route in settings.routes:
            table = self._suffix if route.match.startswith(".") else self._exact
            table[route.match.removeprefix(".").lower()] = self._pools(route.upstream, route.match)
        # With no routes, all traffic of a kind goes to one pool, and nobody needs to ask which.
        self.only_http = self._default[0] if not settings.routes and settings.default.http else None
        self.only_tls = self._default[1] if not settings.routes and settings.default.tls else None

    @property
    def endpoints(self) -> Iterable[Endpoint]:
        """Every endpoint, once."""
        return self._shared.values()

    def http(self, name: str) -> Pool:
        """The pool for HTTP traffic of `name`. Raises UpstreamError if it has no address."""
        return self._route(name, 0)

    def tls(self, name: str) -> Pool:
        """The pool for TLS traffic of `name`. Raises UpstreamError if it has no address."""
        return self._route(name, 1)

    def route(self, name: str) -> str:
        """The `match` of the route that `name` would take; "default" where none fits."""
        return self._find(name)[0].route

    def _route(self, name: str, kind: int) -> Pool:
        pool = self._default[kind] if not (self._exact or self._suffix) else self._find(name)[kind]
        if not pool.endpoints:
            raise UpstreamError(
                f"no {('http', 'tls')[kind]} upstream for {name or 'nameless traffic'}: "
                "add an address to upstreams.default or to a route"
            )
        return pool

    def _find(self, name: str) -> tuple[Pool, Pool]:
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        rest = name
        while rest:
            _, _, rest = rest.partition(".")
            pools = self._suffix.get(rest)
            if pools is not None:
                return pools
        return self._default

    def _pools(self, settings: UpstreamPool, route: str = "default") -> tuple[Pool, Pool]:
        return (
            Pool([self._endpoint(a) for a in settings.http], settings.send_proxy, route),
            Pool([self._endpoint(a) for a in settings.tls], settings.send_proxy, route),
        )

    def _endpoint(self, address: Address) -> Endpoint:
        """One endpoint for each address, so that health is shared by all routes to it."""
        key = str(address)
        if key not in self._shared:
            self._shared[key] = Endpoint(address)
        return self._shared[key]
