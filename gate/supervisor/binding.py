"""Binds every port before the first fork, so that a busy one stops the start at once.

Each data-plane listener has one SO_REUSEPORT socket per worker: the kernel spreads connections
over them, and the supervisor keeps them open, so that a worker that is started again inherits
the queue of the one that died. They are bound here and listen only when a worker is ready to
serve: a gate without a replica refuses connections rather than let them wait.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gate.settings import Address, Listener, Settings

ADMIN_BACKLOG = 128


class BindError(Exception):
    """A port or path cannot be had; the message says which, why and what to do."""


@dataclass(slots=True, frozen=True)
class Ports:
    """The sockets of one gate; all are bound, those of the control process listen."""

    data: dict[str, tuple[socket.socket, ...]]
    """By listener name: one socket per worker."""
    admin: socket.socket
    notice: socket.socket | None
    control: socket.socket

    def of_worker(
        self, index: int, listeners: Iterable[Listener]
    ) -> list[tuple[Listener, socket.socket]]:
        """The sockets of worker `index`, with the present settings of their listeners."""
        return [(listener, self.data[listener.name][index]) for listener in listeners]

    def of_workers(self) -> list[socket.socket]:
        """The sockets of all workers."""
        return [sock for sockets in self.data.values() for sock in sockets]

    def all(self) -> list[socket.socket]:
        """Every socket."""
        own = [self.admin, self.control, *([self.notice] if self.notice else [])]
        return [*self.of_workers(), *own]

    def describe(self) -> dict[str, str]:
        """What listens where, for people and for `listening.json`."""
        ports = {name: _text(sockets[0]) for name, sockets in self.data.items()}
        ports["admin"] = _text(self.admin)
        if self.notice:
            ports["notice"] = _text(self.notice)
        return ports


def bind(
    settings: Settings, workers: int, given: Mapping[str, Sequence[socket.socket]] | None = None
) -> Ports:
    """Binds all ports of `settings` but for those that were `given` (see `activation.assign`).

    Raises BindError for the first that cannot be had.
    """
    given = given or {}
    data = {
        listener.name: tuple(given.get(listener.name, ()))
        or _bind_shared(listener.address, f"listener {listener.name!r}", workers)
        for listener in settings.listeners
    }

    def own(name: str, address: Address) -> socket.socket:
        return given[name][0] if name in given else _listening(address, f"{name}.listen")

    return Ports(
        data=data,
        admin=own("admin", settings.admin.listen),
        notice=own("notice", settings.notice.listen) if settings.notice.listen else None,
        control=_bind_control(settings.control_path),
    )


def write_addresses(ports: Ports, path: Path) -> None:
    """Writes the bound addresses as JSON, for tools that start a gate on port 0."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(ports.describe()) + "\n", encoding="utf-8")
    beside.replace(path)


def _bind_shared(address: Address, what: str, count: int) -> tuple[socket.socket, ...]:
    # A second gate with SO_REUSEPORT would share the port without a word: ask for it alone first.
    _open(address, what, shared=False).close()
    first = _open(address, what, shared=True)
    port = first.getsockname()[1]
    fixed = Address(host=address.host, port=port)
    return (first, *(_open(fixed, what, shared=True) for _ in range(count - 1)))


def _listening(address: Address, what: str) -> socket.socket:
    sock = _open(address, what, shared=False)
    sock.listen(ADMIN_BACKLOG)
    return sock


def _open(address: Address, what: str, *, shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise BindError(
            f"{what}: {address.host!r} has no address ({error.strerror}); "
            "write an IP address of this machine, or 0.0.0.0 for all"
        ) from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(target)
    except OSError as error:
        sock.close()
        raise BindError(f"{what}: {_bind_reason(address, error)}") from None
    return sock


def _bind_reason(address: Address, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"{address} is in use; stop the program that listens there "
                f"(`ss -ltnp sport = :{address.port}` names it) or set another port"
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


def _bind_control(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)  # left over: the lock on state_dir says that nobody uses it
        sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(ADMIN_BACKLOG)
    except OSError as error:
        sock.close()
        limit = " (a socket path holds at most 107 bytes)" if len(os.fsencode(path)) > 107 else ""
        raise BindError(
            f"state_dir: control socket {path} cannot be made: {error.strerror or error}{limit}; "
            "set state_dir to a short path that the gate may write"
        ) from None
    return sock


def _text(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return str(Address(host=host, port=port))
