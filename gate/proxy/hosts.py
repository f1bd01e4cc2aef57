"""The hosts that connections are addressed to, where the gate stands in front of many.

A transparent listener's connections, and those whose trusted PROXY header names the upstream, go to
their own destination and nowhere else: each host is a pool of one endpoint, which never rests. The
hosts are kept in a table that is bounded. Those without an open connection leave it first, the one
that was unused longest before the others, and take their kept connections with them.

Where the host is to see the client's address, a host is one for each client, so that no kept
connection is ever shared between two.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from socket import SocketType
from typing import Final

from gate.net.bind import TransparencyError, make_transparent
from gate.net.local_addresses import LocalAddresses
from gate.policy import Verdict
from gate.proxy.datagrams import connect as connect_datagrams
from gate.proxy.failure import ProxyError
from gate.proxy.listener import ListenerState
from gate.proxy.networks import ENFORCE, IP, PASS, Networks, NotIntercepted
from gate.proxy.upstream import (
    OriginEndpoint,
    Pool,
    PoolTotals,
    SocketAddress,
    start_connection,
)
from gate.settings import Address, special

_IP_BIND_ADDRESS_NO_PORT: Final = 24  # Linux, <linux/in.h>
_ORIGINAL_DESTINATION: Final = 80  # SO_ORIGINAL_DST, and IP6T_SO_ORIGINAL_DST at level IPv6
_ORIGINAL_BYTES: Final = 28

HOSTS: Final = "destinations"
"""What all hosts together are called in figures."""

At = tuple[str, int]
"""An IP address and a port."""

Note = Callable[[int, Verdict, str, int, str], None]
"""Notes a decision: scheme, verdict, client's address, number of the connection, destination."""


class NoRoom(ProxyError):
    """All hosts of the table have open connections."""


class HostEndpoint(OriginEndpoint):
    """A host's address. It never rests: there is no other endpoint that could stand in for it."""

    __slots__ = ("_datagrams", "source", "totals")

    def __init__(
        self, address: Address, totals: PoolTotals, source: SocketAddress | None, *, datagrams: bool
    ) -> None:
        """`source` is whose address the host is to see, with the port 0 for any."""
        super().__init__(address)
        self.totals = totals
        self.source = source
        self._datagrams = datagrams
        self.refused_responses = totals.refused_responses

    def connect(self) -> SocketType:
        """Start a connection, from the client's address perhaps. Raises OSError."""
        self.totals.connects += 1
        source = self.source
        if self._datagrams:
            bind = None if source is None else bind_to_client(source)
            return connect_datagrams(self.family, self.address, bind)
        if source is None:
            return start_connection(self.family, self.address, self.name)
        return start_connection(self.family, self.address, self.name, bind_to_client(source))

    def failed(self, now: float, rest_seconds: float) -> None:
        """Count a failure."""
        self.totals.failures += 1

    def failed_once(self) -> None:
        """Count a failure that says nothing about its health."""
        self.totals.failures += 1

    def works(self) -> None:
        """It took a connection."""


def bind_to_client(source: SocketAddress) -> Callable[[SocketType], None]:
    """Return what binds a socket to a client's address, so that the host sees that."""
    _, address = source

    def bind(sock: SocketType) -> None:
        try:
            make_transparent(sock)
        except TransparencyError as error:  # the supervisor has seen that it has the right
            raise PermissionError(errno.EPERM, str(error)) from None
        if address[1]:
            # The pair of ports may have been used a moment ago, by the client's last connection.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            # The kernel chooses the port when it knows the other end: a port may then be used
            # towards each host, and clients with many connections do not run out of them.
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind(address)

    return bind


class HostPool(Pool):
    """One destination of one listener. `open` counts the clients' connections to it.

    `mode` is that of its network, None for the listener's. `alone` says that each client's
    connection is to have an upstream connection of its own.
    """

    __slots__ = ("alone", "at", "generation", "key", "mode", "name", "open")

    def __init__(
        self, key: object, at: At, endpoint: HostEndpoint, send_proxy: str, mode: str | None
    ) -> None:
        super().__init__([endpoint], send_proxy, HOSTS)
        self.key = key
        self.at = at
        self.name = endpoint.name
        self.mode = mode
        self.alone = False
        self.open = 0
        self.generation = 0


class Hosts:
    """The table of one worker."""

    __slots__ = ("_alone", "_hosts", "_local", "_most", "_on_gone", "_unused", "totals")

    def __init__(
        self,
        most: int,
        local: LocalAddresses,
        on_gone: Callable[[OriginEndpoint], None] = lambda endpoint: None,
    ) -> None:
        """`most` hosts are kept; `on_gone` is told of the endpoint of one that leaves the table."""
        self._most = most
        self._local = local
        self._hosts: dict[object, HostPool] = {}
        self._unused: OrderedDict[object, HostPool] = OrderedDict()
        self.totals = PoolTotals()
        self._on_gone = on_gone

    def __len__(self) -> int:
        return len(self._hosts)

    @property
    def generation(self) -> int:
        """That of this machine's addresses: a host of another one has to be looked at again."""
        return self._local.generation

    def enter(
        self,
        listener: str,
        networks: Networks,
        at: At,
        *,
        source: At | None = None,
        send_proxy: str = "off",
        datagrams: bool = False,
    ) -> HostPool:
        """Return the host at a destination, and count a connection to it in.

        `source` is the client's address and port, where the host is to see it: the port 0 is any.
        Raises NotIntercepted for a destination that is none, NoRoom if there is no room for it.
        """
        key = (listener, at, source) if source is not None else (listener, at)
        host = self._hosts.get(key)
        if host is None:
            host = self._new(key, networks, at, source, send_proxy, datagrams)
        elif host.generation != self._local.generation:
            self._check(ip_address(at[0]))  # an address of ours may have come
            host.generation = self._local.generation
        if not host.open:
            self._unused.pop(key, None)
        host.open += 1
        return host

    def leave(self, host: HostPool) -> None:
        """Count a connection out again."""
        host.open -= 1
        if not host.open:
            self._unused[host.key] = host

    def set_modes(self, listener: str, networks: Networks) -> bool:
        """Have a listener's hosts take the modes of `networks`; whether any has another one now.

        A host that is in none of them keeps its mode: what is open to it ends in its own time.
        """
        changed = False
        for key, host in self._hosts.items():
            if not isinstance(key, tuple) or key[0] != listener:
                continue
            with contextlib.suppress(NotIntercepted):
                mode = networks.mode_of(ip_address(host.at[0].partition("%")[0]))
                changed = changed or mode != host.mode
                host.mode = mode
        return changed

    def _new(
        self,
        key: object,
        networks: Networks,
        at: At,
        source: At | None,
        send_proxy: str,
        datagrams: bool,
    ) -> HostPool:
        ip = ip_address(at[0].partition("%")[0])
        mode = networks.mode_of(ip)
        self._check(ip)
        if len(self._hosts) >= self._most:
            self._make_room()
        family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        endpoint = HostEndpoint(
            Address(host=str(ip), port=at[1]),
            self.totals,
            None if source is None else (family, source),
            datagrams=datagrams,
        )
        host = self._hosts[key] = HostPool(key, at, endpoint, send_proxy, mode)
        host.alone = source is not None and source[1] != 0
        host.generation = self._local.generation
        return host

    def _check(self, ip: IP) -> None:
        """Raise NotIntercepted for an address that no host behind the gate can have."""
        why = special(ip_network(ip))
        if why:
            raise NotIntercepted(f"{ip} is {why}")
        try:
            ours = self._local.has(ip)
        except OSError as error:  # the kernel does not say: not known to be another's
            raise NotIntercepted(f"{ip}: {error.strerror}") from None
        if ours:
            raise NotIntercepted(f"{ip} is an address of this machine")

    def _make_room(self) -> None:
        if not self._unused:
            raise NoRoom("all hosts have open connections; raise limits.destinations")
        key, gone = self._unused.popitem(last=False)
        del self._hosts[key]
        self._on_gone(gone.endpoints[0])

    def endpoints(self) -> Iterable[OriginEndpoint]:
        """Return the endpoints of all hosts in the table."""
        return (host.endpoints[0] for host in self._hosts.values())


def destination_of(sock: SocketType, transparent: str) -> At | None:
    """Return where a connection was addressed to when the kernel took it in for the gate.

    With TPROXY it is the socket's own address; with REDIRECT the kernel remembers it
    (netfilter's SO_ORIGINAL_DST). None where it does not.
    """
    if transparent == "tproxy":
        host, port = sock.getsockname()[:2]
        return host, port
    level = socket.IPPROTO_IP if sock.family == socket.AF_INET else socket.IPPROTO_IPV6
    try:
        data = sock.getsockopt(level, _ORIGINAL_DESTINATION, _ORIGINAL_BYTES)
    except OSError:
        return None
    # struct sockaddr_in, sockaddr_in6: family, port, [flow label,] address
    port = int.from_bytes(data[2:4], "big")
    if sock.family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, data[4:8]), port
    return socket.inet_ntop(socket.AF_INET6, data[8:24]), port


def enforces(listener: ListenerState, host: HostPool | None) -> bool:
    """Return whether what is not allowed is blocked on the way to a host."""
    if host is None or host.mode is None:
        return listener.enforcing
    return host.mode == ENFORCE


def how_it_passes(listener: ListenerState, host: HostPool | None) -> Note:
    """Return what notes that something passes which is not allowed, and is not to be blocked.

    The host needs no filing, or else the listener only monitors.
    """
    if host is not None and host.mode == PASS:
        return listener.waives
    return listener.monitors
