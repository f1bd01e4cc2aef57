"""Binds a TCP or UDP port, and says in one line why it can't be had and what to do."""

from __future__ import annotations

import errno
import socket
from typing import Final

from gate.net.errors import NetError
from gate.settings import Address

BACKLOG: Final = 1024


# Linux: IP_TRANSPARENT (linux/in.h), IPV6_TRANSPARENT (linux/in6.h); Python names neither.
_TRANSPARENT: Final[dict[int, tuple[int, int]]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 19),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 75),
}


class TransparencyError(NetError):
    """A socket cannot be made transparent."""


class BindError(NetError):
    """A port or path cannot be had; the message says which, why and what to do."""


def listen(address: Address, what: str, *, backlog: int = BACKLOG) -> socket.socket:
    """Return a listening socket; `what` is the setting that asks for it. Raises BindError."""
    sock = bind(address, what)
    sock.listen(backlog)
    return sock


def bind(
    address: Address,
    what: str,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    *,
    shared: bool = False,
    transparent: bool = False,
) -> socket.socket:
    """Return a bound socket that does not listen yet; `shared` ones share their port.

    A `transparent` one is given connections to any address (TPROXY), which takes a right.
    `kind` is SOCK_STREAM for TCP or SOCK_DGRAM for UDP. An IPv6 address takes IPv6 alone.
    Raises BindError.
    """
    try:
        family, _, protocol, _, target = socket.getaddrinfo(
            address.host, address.port, type=kind, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: no label may be empty
        why = getattr(error, "strerror", "it is no host's name")
        raise BindError(
            f"{what}: {address.host!r} has no address ({why}); "
            "write an IP address of this machine, or 0.0.0.0 for all"
        ) from None
    sock = socket.socket(family, kind, protocol)
    try:
        if kind is socket.SOCK_STREAM:  # for UDP it means that others may have the port, too
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if transparent:
            make_transparent(sock)
        sock.bind(target)
    except TransparencyError as error:
        sock.close()
        raise BindError(f"{what}: {error}") from None
    except OSError as error:
        sock.close()
        raise BindError(f"{what}: {_reason(address, kind, error)}") from None
    return sock


def make_transparent(sock: socket.SocketType) -> None:
    """Let a socket have any address for its own, others' as well. Raises TransparencyError."""
    level, option = _TRANSPARENT[sock.family]
    try:
        sock.setsockopt(level, option, 1)
    except OSError as error:
        raise TransparencyError(
            f"a transparent socket cannot be had ({error.strerror}); start the gate as root, or "
            "give it the capability CAP_NET_RAW or CAP_NET_ADMIN"
        ) from None


def is_transparent(sock: socket.SocketType) -> bool:
    """Return whether a socket may have any address for its own."""
    return bool(sock.getsockopt(*_TRANSPARENT[sock.family]))


def _reason(address: Address, kind: socket.SocketKind, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            option = "ltnp" if kind is socket.SOCK_STREAM else "lunp"
            return (
                f"{address} is in use; stop the program that listens there "
                f"(`ss -{option} sport = :{address.port}` names it) or set another port"
            )
        case errno.EACCES:
            return (
                f"{address} needs a right that this user lacks; use a port of 1024 or more, or "
                "give the gate the capability CAP_NET_BIND_SERVICE"
            )
        case errno.EADDRNOTAVAIL:
            return (
                f"{address.host} is no address of this machine; "
                "use one that `ip address` lists, or 0.0.0.0 for all"
            )
        case _:
            return f"{address} cannot be bound: {error.strerror}"


def address_of(sock: socket.socket) -> Address:
    """Return where a socket is bound."""
    host, port = sock.getsockname()[:2]
    return Address(host=host, port=port)
