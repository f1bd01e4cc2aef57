"""Listening sockets that a service manager holds and passes on (sd_listen_fds(3)).

systemd binds them before the gate starts and keeps them while it is down, so that connections wait
for it in the kernel and need no right of the gate's. A socket is meant for the listener, or for
the port (`admin`, `notice`), that its FileDescriptorName= names; one with another name (systemd's
own default is the unit's) for what has its address in the settings.

A listener needs one socket for each worker. With as many sockets as workers (ReusePort=yes and the
address as many times) each worker has its own. With fewer, workers share one: each has a
descriptor of it, and whoever is free first takes the next connection. That is no way for a quic
listener, whose datagrams must come to the worker that has the connection: it takes a UDP socket
for each worker, or none.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from gate.net.bind import address_of, is_transparent
from gate.settings import Address, Settings
from gate.supervisor.errors import CannotStart

_FIRST = 3  # SD_LISTEN_FDS_START
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class ActivationError(CannotStart):
    """What was passed can't be used; says which socket, why and what to do."""


@dataclass(slots=True, frozen=True)
class Passed:
    """One listening socket, and the name that it came with."""

    name: str
    sock: socket.socket

    @property
    def address(self) -> Address:
        """Where it listens."""
        return address_of(self.sock)

    @property
    def is_udp(self) -> bool:
        """Whether datagrams come in by it, not connections."""
        return self.sock.type == socket.SOCK_DGRAM

    def __str__(self) -> str:
        return f"{self.name!r} at {self.address}"


def passed(environ: MutableMapping[str, str], pid: int) -> list[Passed]:
    """Return the sockets that were passed to the process `pid`; takes them out of the environment.

    Raises ActivationError for what is no listening TCP socket, nor a bound UDP one, of one address
    family.
    """
    given = {name: environ.pop(name, "") for name in _VARIABLES}
    if given["LISTEN_PID"] != str(pid) or not given["LISTEN_FDS"].isdigit():
        return []
    count = int(given["LISTEN_FDS"])
    names = given["LISTEN_FDNAMES"].split(":") if given["LISTEN_FDNAMES"] else []
    names += ["unknown"] * (count - len(names))
    return [_take(number, name) for number, name in enumerate(names[:count], _FIRST)]


def _take(number: int, name: str) -> Passed:
    try:
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise ActivationError(
            f"socket activation: descriptor {number} ({name!r}) is no socket: {error.strerror}"
        ) from None
    os.set_inheritable(number, False)
    listens = sock.type == socket.SOCK_DGRAM or (
        sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not listens:
        raise ActivationError(
            f"socket activation: {name!r} is no listening TCP socket and no UDP one; it takes "
            "ListenStream=ADDRESS:PORT and Accept=no, or ListenDatagram=ADDRESS:PORT for quic"
        )
    if sock.family == socket.AF_INET6 and not sock.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    ):
        # An IPv4 client would have an IPv6 address here, and no network of the settings.
        raise ActivationError(
            f"socket activation: {name!r} takes IPv4 as well; set BindIPv6Only=ipv6-only, and "
            "give IPv4 a socket of its own"
        )
    return Passed(name, sock)


def assign(
    sockets: Iterable[Passed], settings: Settings, workers: int
) -> Mapping[str, Sequence[socket.socket]]:
    """Return the sockets by what they are for: listeners, one for each worker; `admin`, `notice`.

    Raises ActivationError for one that is for nothing, or that nobody would serve.
    """
    quic = {listener.name for listener in settings.listeners if listener.kind == "quic"}
    transparent = {one.name for one in settings.listeners if one.transparent == "tproxy"}
    addresses = _addresses(settings)
    found: dict[str, list[Passed]] = {}
    for item in sockets:
        of_its_kind = {name: at for name, at in addresses.items() if (name in quic) == item.is_udp}
        found.setdefault(_purpose(item, of_its_kind), []).append(item)
    assigned: dict[str, Sequence[socket.socket]] = {}
    for purpose, items in found.items():
        if purpose in quic and len(items) != workers:
            raise ActivationError(
                f"socket activation: {len(items)} sockets for {purpose!r}, and QUIC needs one for "
                f"each of the {workers} workers; set ReusePort=yes and give ListenDatagram= "
                f"{workers} times, or leave the port to the gate"
            )
        most = workers if purpose in {listener.name for listener in settings.listeners} else 1
        if len(items) > most:
            raise ActivationError(
                f"socket activation: {len(items)} sockets for {purpose!r}, and it can serve "
                f"{most}; pass no more, or raise `workers`"
            )
        if purpose in transparent and not all(is_transparent(item.sock) for item in items):
            raise ActivationError(
                f"socket activation: {purpose!r} is transparent: tproxy, but not its socket; set "
                "Transparent=yes, or leave the port to the gate"
            )
        own = [item.sock for item in items]
        shared = [own[number % len(own)].dup() for number in range(len(own), most)]
        assigned[purpose] = [*own, *shared]
    return assigned


def _addresses(settings: Settings) -> dict[str, Address]:
    addresses = {"admin": settings.admin.listen}
    if settings.notice.listen is not None:
        addresses["notice"] = settings.notice.listen
    return addresses | {listener.name: listener.address for listener in settings.listeners}


def _purpose(item: Passed, addresses: Mapping[str, Address]) -> str:
    if item.name in addresses:
        return item.name
    for purpose, address in addresses.items():
        if address == item.address:
            return purpose
    kind = "UDP socket" if item.is_udp else "socket"
    names = ", ".join(sorted(addresses)) or "(there is none)"
    raise ActivationError(
        f"socket activation: the {kind} {item} is for nothing in the settings; set "
        f"FileDescriptorName= to one of {names}"
    )
