"""Binds every port before the first fork, so that a busy one stops the start at once.

Each data-plane listener has one SO_REUSEPORT socket per worker: the kernel spreads connections
over them, and the supervisor keeps them open, so that a worker that is started again inherits
the queue of the one that died. They are bound here and listen only when a worker is ready to
serve: a gate without a replica refuses connections rather than let them wait.

A quic listener's are UDP sockets. The kernel chooses one of them by the addresses and ports of a
datagram and by how many there are. So all stay open until the gate ends: as long as none comes or
goes, a client's datagrams reach the same worker number, across restarts, reloads and upgrades.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gate.files import PUBLIC, replace_file
from gate.ipc.siblings import FlowBoard, Mailboxes, Siblings
from gate.net.bind import BindError, address_of, listen
from gate.net.bind import bind as bind_port
from gate.proxy.datagrams import widen_queues
from gate.settings import Address, Listener, Settings

ADMIN_BACKLOG = 128


@dataclass(slots=True, frozen=True)
class Ports:
    """The sockets of one gate; all are bound, those of the control process listen."""

    data: dict[str, tuple[socket.socket, ...]]
    """By listener name: one socket per worker."""
    admin: socket.socket
    notice: socket.socket | None
    control: socket.socket
    flows: FlowBoard | None = None
    """What the workers know of each other's QUIC connections, if there is such a listener."""
    mail: Mailboxes | None = None

    def of_worker(
        self, index: int, listeners: Iterable[Listener]
    ) -> list[tuple[Listener, socket.socket]]:
        """Return the sockets of worker `index`, with the present settings of their listeners."""
        return [(listener, self.data[listener.name][index]) for listener in listeners]

    def siblings(self, index: int) -> Siblings | None:
        """Return what worker `index` knows of the others."""
        if self.flows is None or self.mail is None:
            return None
        return Siblings(index, self.flows, self.mail.entries, self.mail.outlets[index])

    def of_workers(self) -> list[socket.socket]:
        """Return the sockets of all workers."""
        return [sock for sockets in self.data.values() for sock in sockets]

    def stop_accepting(self) -> None:
        """Close what new connections come in by; the UDP sockets stay, see above."""
        for sock in self.of_workers():
            if sock.type == socket.SOCK_STREAM:
                sock.close()

    def all(self) -> list[socket.socket]:
        """Return every socket."""
        own = [self.admin, self.control, *([self.notice] if self.notice else [])]
        mail = self.mail.all() if self.mail else []
        return [*self.of_workers(), *mail, *own]

    def describe(self) -> dict[str, str]:
        """Return what listens where, for people and for `listening.json`."""
        ports = {name: str(address_of(sockets[0])) for name, sockets in self.data.items()}
        ports["admin"] = str(address_of(self.admin))
        if self.notice:
            ports["notice"] = str(address_of(self.notice))
        return ports


def bind(
    settings: Settings, workers: int, given: Mapping[str, Sequence[socket.socket]] | None = None
) -> Ports:
    """Bind all ports of `settings` but for those that were `given` (see `activation.assign`).

    Raises BindError for the first that cannot be had.
    """
    given = given or {}
    data = {
        listener.name: tuple(given.get(listener.name, ())) or _bind_shared(listener, workers)
        for listener in settings.listeners
    }

    def own(name: str, address: Address) -> socket.socket:
        return (
            given[name][0]
            if name in given
            else listen(address, f"{name}.listen", backlog=ADMIN_BACKLOG)
        )

    has_quic = any(listener.kind == "quic" for listener in settings.listeners)
    return Ports(
        data=data,
        flows=FlowBoard(workers) if has_quic else None,
        mail=Mailboxes.make(workers) if has_quic else None,
        admin=own("admin", settings.admin.listen),
        notice=own("notice", settings.notice.listen) if settings.notice.listen else None,
        control=_bind_control(settings.control_path),
    )


def write_addresses(ports: Ports, path: Path) -> None:
    """Write the bound addresses as JSON, for tools that start a gate on port 0."""
    replace_file(path, json.dumps(ports.describe()) + "\n", mode=PUBLIC)


def _bind_shared(listener: Listener, count: int) -> tuple[socket.socket, ...]:
    address, what = listener.address, f"listener {listener.name!r}"
    kind = socket.SOCK_DGRAM if listener.kind == "quic" else socket.SOCK_STREAM
    # A second gate with SO_REUSEPORT would share the port without a word: ask for it alone first.
    bind_port(address, what, kind).close()
    transparent = listener.transparent == "tproxy"
    first = bind_port(address, what, kind, shared=True, transparent=transparent)
    fixed = Address(host=address.host, port=first.getsockname()[1])
    shared = (
        first,
        *(
            bind_port(fixed, what, kind, shared=True, transparent=transparent)
            for _ in range(count - 1)
        ),
    )
    if kind is socket.SOCK_DGRAM:
        for sock in shared:
            widen_queues(sock)  # while there is a right to it
    return shared


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
