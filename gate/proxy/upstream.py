"""Where allowed traffic goes: endpoints, pools with passive health, and routes by domain.

An endpoint that refuses, times out or breaks before it answers rests for a while; a pool hands
out its endpoints in turn and passes over those that rest, unless all do. What the gate itself is
short of is no endpoint's failure.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from ipaddress import ip_address
from math import inf
from socket import SocketType
from typing import Any, Final

from gate.proxy.counters import SCHEMES
from gate.proxy.datagrams import connect
from gate.proxy.failure import ProxyError
from gate.proxy.route_file import RouteFile
from gate.settings import Address, UpstreamPool, Upstreams
from gate.settings.route_match import split_match
from gate.wire.http1 import ResponseFault

_log = logging.getLogger(__name__)

_TELL_SECONDS = 60.0
_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_UNDER_WAY = (0, errno.EINPROGRESS)
# The gate, or its machine, has no descriptor, memory or local port left.
OUT_OF_RESOURCES = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
)


SocketAddress = tuple[int, tuple[Any, ...]]
"""The family of an address, and the address as connect() takes it."""


class UpstreamError(ProxyError):
    """No upstream can be had: the message says which route, and what to configure."""


_HIGHEST_SCOPE: Final = 2**32 - 1


def literal(address: Address) -> SocketAddress | None:
    """Return the socket address of an IP address and port; None for a name.

    Raises OSError if it names a network interface that is not there.
    """
    host, _, zone = address.host.partition("%")
    try:
        ip = ip_address(host)
    except ValueError:
        return None
    if ip.version == 4:
        return socket.AF_INET, (host, address.port)
    scope = socket.if_nametoindex(zone) if zone and not zone.isdecimal() else int(zone or 0)
    if scope > _HIGHEST_SCOPE:
        raise OSError(errno.ENODEV, f"there is no network interface {scope}")
    return socket.AF_INET6, (host, address.port, 0, scope)


def start_connection(
    family: int, address: Any, name: str, bind: Callable[[SocketType], None] | None = None
) -> SocketType:
    """Return a non-blocking socket that is connecting, or connected, to an address.

    `bind` binds it first. Raises OSError when it fails at once.
    """
    sock = SocketType(family, _STREAM)
    if bind is not None:
        try:
            bind(sock)
        except OSError:
            sock.close()
            raise
    result = sock.connect_ex(address)
    if result not in _UNDER_WAY:
        sock.close()
        raise OSError(result, f"cannot connect to {name}")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class OriginEndpoint:
    """One upstream socket address, with its health and its figures.

    `family` and `address` are what connect() takes. Without them it stands for a name that does
    not resolve: it rests until the name does, and cannot be connected to.
    """

    __slots__ = (
        "_told",
        "address",
        "connects",
        "failures",
        "family",
        "name",
        "refused_responses",
        "resting_until",
    )

    def __init__(self, address: Address, at: SocketAddress | None = None) -> None:
        """`at` is one of those that the address stands for, if it is a name."""
        at = at or literal(address)
        self.name = str(address)
        self.family, self.address = at or (socket.AF_UNSPEC, ())
        self.connects = 0
        self.failures = 0
        self.refused_responses: Counter[ResponseFault] = Counter()
        self._told: dict[ResponseFault, float] = {}  # when the log was last told of such a one
        self.resting_until = 0.0 if at else inf

    @property
    def resolved(self) -> bool:
        """Whether there is an address to connect to."""
        return bool(self.address)

    def connect(self) -> SocketType:
        """Start a connection; the socket is non-blocking and may still be connecting.

        Raises OSError when it fails at once.
        """
        self._check()
        self.connects += 1
        return start_connection(self.family, self.address, self.name)

    def _check(self) -> None:
        if not self.resolved:
            raise OSError(errno.EHOSTUNREACH, f"{self.name} does not resolve")

    def failed(self, now: float, rest_seconds: float) -> None:
        """Count a failure and rest until `now` + `rest_seconds` (monotonic)."""
        self.failures += 1
        if self.resolved:
            self.resting_until = now + rest_seconds

    def failed_once(self) -> None:
        """Count a failure that says nothing about its health."""
        self.failures += 1

    def answered_badly(self, kind: ResponseFault, now: float) -> None:
        """Count a response that was refused, and tell the log: of each kind once a minute."""
        self.refused_responses[kind] += 1
        if now - self._told.get(kind, float("-inf")) >= _TELL_SECONDS:
            self._told[kind] = now
            count = self.refused_responses[kind]
            _log.warning("a response of %s was refused: %s (number %d)", self.name, kind, count)

    def count_in(self, other: OriginEndpoint) -> None:
        """Add what another one has counted."""
        self.connects += other.connects
        self.failures += other.failures
        self.refused_responses.update(other.refused_responses)

    def works(self) -> None:
        """It took a connection: it rests no more."""
        self.resting_until = 0.0


class DatagramEndpoint(OriginEndpoint):
    """An upstream address that is reached by UDP; its health is not that of the same one by TCP."""

    __slots__ = ()

    def __init__(self, address: Address, at: SocketAddress | None = None) -> None:
        super().__init__(address, at)
        self.name = f"{address}/udp"

    def connect(self) -> SocketType:
        """Return a socket that sends to it and hears nobody else. Raises OSError."""
        self._check()
        self.connects += 1
        return connect(self.family, self.address)


class PoolTotals:
    """What many endpoints together have counted, where figures by each would be without bound."""

    __slots__ = ("connects", "failures", "refused_responses")

    def __init__(self) -> None:
        self.connects = 0
        self.failures = 0
        self.refused_responses: Counter[ResponseFault] = Counter()

    def figures(self) -> dict[str, Any]:
        """Return them, by the names that an origin's figures have."""
        return {
            "upstream_connects": self.connects,
            "upstream_failures": self.failures,
            "upstream_responses_refused": dict(self.refused_responses),
        }


class CountedEndpoint(OriginEndpoint):
    """An endpoint that counts for all of its kind, and has its health for itself."""

    __slots__ = ("_datagrams", "_totals")

    def __init__(self, address: Address, totals: PoolTotals, *, datagrams: bool = False) -> None:
        super().__init__(address)
        self._totals = totals
        self._datagrams = datagrams
        self.refused_responses = totals.refused_responses

    @property
    def connects(self) -> int:
        """How often any of them was connected to, by either plane."""
        return self._totals.connects

    @connects.setter
    def connects(self, count: int) -> None:
        if count:  # a new one begins with none of its own
            self._totals.connects = count

    def connect(self) -> SocketType:
        """Start a connection, or return a socket that sends to it. Raises OSError."""
        self.connects += 1
        if self._datagrams:
            return connect(self.family, self.address)
        return start_connection(self.family, self.address, self.name)

    def failed(self, now: float, rest_seconds: float) -> None:
        """Count a failure and rest until `now` + `rest_seconds` (monotonic)."""
        self._totals.failures += 1
        self.resting_until = now + rest_seconds

    def failed_once(self) -> None:
        """Count a failure that says nothing about its health."""
        self._totals.failures += 1


class Origin:
    """One address of the settings, and the endpoints that it stands for: one for each IP address.

    What is known of them is kept: a name that stops resolving keeps the addresses that it had, and
    an address that stays keeps its health and its connections.
    """

    __slots__ = ("_at", "_gone", "_kind", "address", "endpoints")

    def __init__(self, address: Address, kind: type[OriginEndpoint] = OriginEndpoint) -> None:
        self.address = address
        self._kind = kind
        self._at: dict[SocketAddress, OriginEndpoint] = {}
        self._gone = kind(address)  # counts what those did that it does not stand for any more
        self.endpoints = [kind(address)]

    def __str__(self) -> str:
        return self.endpoints[0].name

    @property
    def resolved(self) -> bool:
        """Whether there is an address to connect to."""
        return self.endpoints[0].resolved

    def stands_for(self, found: Sequence[SocketAddress]) -> bool:
        """Take what the name resolves to now; return whether that is news."""
        if not found or self._at.keys() == set(found):
            return False
        for endpoint in self.endpoints:
            at = (endpoint.family, endpoint.address)
            if not endpoint.resolved or at not in found:
                self._gone.count_in(endpoint)
        self._at = {at: self._at.get(at) or self._kind(self.address, at) for at in found}
        self.endpoints = list(self._at.values())
        return True

    def figures(self, now: float) -> dict[str, Any]:
        """Return what all its endpoints together count."""
        total = self._kind(self.address)
        for endpoint in (*self.endpoints, self._gone):
            total.count_in(endpoint)
        return {
            "upstream_connects": total.connects,
            "upstream_failures": total.failures,
            "upstream_responses_refused": dict(total.refused_responses),
            "upstream_resting": int(all(e.resting_until > now for e in self.endpoints)),
        }


class Pool:
    """The endpoints of one route for one kind of traffic, in turn.

    `endpoints` is another list whenever they change, as those of names do.
    """

    __slots__ = (
        "_next",
        "_origins",
        "endpoints",
        "route",
        "send_proxy",
        "single",
        "speaks_proxy",
    )

    def __init__(
        self, origins: Sequence[Origin | OriginEndpoint], send_proxy: str, route: str = "default"
    ) -> None:
        self._origins = origins
        self.route = route
        self.send_proxy = send_proxy
        self.speaks_proxy = send_proxy != "off"
        self._next = 0
        self.gather()

    def gather(self) -> None:
        """Take the endpoints that the origins stand for now."""
        self.endpoints = [
            endpoint
            for origin in self._origins
            for endpoint in (origin.endpoints if isinstance(origin, Origin) else [origin])
        ]
        self.single = self.endpoints[0] if len(self.endpoints) == 1 else None

    def pick(self, now: float) -> OriginEndpoint:
        """Return the next endpoint that does not rest.

        If all do, the one that is up again soonest.
        """
        endpoints = self.endpoints
        start = self._next
        self._next = (start + 1) % len(endpoints)
        for offset in range(len(endpoints)):
            endpoint = endpoints[(start + offset) % len(endpoints)]
            if endpoint.resting_until <= now:
                return endpoint
        return min(endpoints, key=lambda e: e.resting_until)


_Pools = tuple[Pool, Pool, Pool]
"""Those of one route, by scheme."""


class Router:
    """Chooses the pool for a canonical domain name: exact match, then the longest suffix."""

    def __init__(self, settings: Upstreams, *, quic: bool = False, tells: bool = True) -> None:
        """`quic` says that there is a listener whose traffic goes by UDP; `tells` has the log told
        of changes to a file of routes.
        """
        self._quic = quic
        self.of_file = PoolTotals()
        self._on_gone: Callable[[Pool], None] = lambda pool: None
        path = settings.routes_file
        self.file = (
            None if path is None else RouteFile(path, self._of_file, self._gone, tells=tells)
        )
        self._shared: dict[tuple[type[OriginEndpoint], str], Origin] = {}
        self._all: list[Pool] = []
        self._default = self._pools(settings.default)
        self._exact: dict[str, _Pools] = {}
        self._suffix: dict[str, _Pools] = {}
        # A domain with all below it stands in both tables, behind what is for one of the two.
        for route in sorted(settings.routes, key=lambda route: not route.match.startswith(".")):
            prefix, name = split_match(route.match)
            pools = self._pools(route.upstream, route.match)
            if prefix:
                self._suffix[name] = pools
            if prefix != "*.":
                self._exact[name] = pools
        # With no routes, all traffic of a kind goes to one pool, and nobody needs to ask which.
        alone = not settings.routes and self.file is None
        self.only_http = self._default[0] if alone and settings.default.http else None
        self.only_tls = self._default[1] if alone and settings.default.tls else None

    @property
    def endpoints(self) -> Iterator[OriginEndpoint]:
        """Every endpoint, once."""
        for origin in self._shared.values():
            yield from origin.endpoints

    @property
    def origins(self) -> Collection[Origin]:
        """Every address of the settings, once."""
        return self._shared.values()

    def gather(self) -> None:
        """Have all pools take the endpoints that their origins stand for now."""
        for pool in self._all:
            pool.gather()

    def http(self, name: str) -> Pool:
        """Return the pool for HTTP traffic of `name`. Raises UpstreamError if it has no address."""
        return self._route(name, 0)

    def tls(self, name: str) -> Pool:
        """Return the pool for TLS traffic of `name`. Raises UpstreamError if it has no address."""
        return self._route(name, 1)

    def quic(self, name: str) -> Pool:
        """Return the pool for QUIC traffic of `name`. Raises UpstreamError if it has no address."""
        return self._route(name, 2)

    def route(self, name: str) -> str:
        """Return the `match` of the route that `name` would take; "default" where none fits."""
        return self._find(name)[0].route

    def _route(self, name: str, kind: int) -> Pool:
        few = not (self._exact or self._suffix) and self.file is None
        pool = self._default[kind] if few else self._find(name)[kind]
        if not pool.endpoints:
            raise UpstreamError(
                f"no {SCHEMES[kind]} upstream for {name or 'nameless traffic'}: "
                "add an address to upstreams.default or to a route"
            )
        return pool

    def _find(self, name: str) -> _Pools:
        file = self.file
        pools = self._exact.get(name)
        if pools is None and file is not None and name:
            pools = file.exact(name)
        if pools is not None:
            return pools
        rest = name
        while rest:
            _, _, rest = rest.partition(".")
            pools = self._suffix.get(rest)
            if pools is None and file is not None and rest:
                pools = file.below(rest)
            if pools is not None:
                return pools
        return self._default

    def _pools(self, settings: UpstreamPool, route: str = "default") -> _Pools:
        pools = (
            Pool([self._origin(a) for a in settings.http], settings.send_proxy, route),
            Pool([self._origin(a) for a in settings.tls], settings.send_proxy, route),
            Pool(
                [self._origin(a, DatagramEndpoint) for a in settings.quic or settings.tls]
                if self._quic
                else [],
                "off",
                route,
            ),
        )
        self._all += pools
        return pools

    def _of_file(self, settings: UpstreamPool, route: str) -> _Pools:
        """Return the pools of a route of the file, whose endpoints are counted together."""
        totals = self.of_file
        quic = settings.quic or settings.tls if self._quic else ()
        try:
            return (
                Pool(
                    [CountedEndpoint(a, totals) for a in settings.http], settings.send_proxy, route
                ),
                Pool(
                    [CountedEndpoint(a, totals) for a in settings.tls], settings.send_proxy, route
                ),
                Pool([CountedEndpoint(a, totals, datagrams=True) for a in quic], "off", route),
            )
        except OSError as error:  # the interface that an address names may yet come
            raise UpstreamError(
                f"no upstream of route {route}: {error.strerror or error}"
            ) from None

    def tell_gone(self, on_gone: Callable[[Pool], None]) -> None:
        """Have `on_gone` told of each pool of a file's route that is gone, or is another now."""
        self._on_gone = on_gone

    def _gone(self, pools: _Pools) -> None:
        for pool in pools:
            self._on_gone(pool)

    def _origin(self, address: Address, kind: type[OriginEndpoint] = OriginEndpoint) -> Origin:
        """Return the one origin of an address: all routes to it share its health."""
        key = (kind, str(address))
        if key not in self._shared:
            self._shared[key] = Origin(address, kind)
        return self._shared[key]
