"""What a supervisor leaves to the program that replaces it in the same process.

An exec keeps the process id, the children, the signal mask with what is pending, and every
descriptor that is inheritable: the sockets, and the lock on `state_dir` (POSIX record locks
survive execve(2)). What they are is written to a memory file, whose descriptor number stands in
an environment variable, much as systemd passes sockets (sd_listen_fds(3)).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gate.ipc.siblings import FlowBoard, Mailboxes
from gate.supervisor.errors import CannotStart
from gate.supervisor.sockets import Ports

VARIABLE = "FILING_GATE_HANDOVER"  # `GATE_...` are settings
_OWN = ("admin", "notice", "control")
_REGISTRY = "registry"
_NEWER_COUNTS = ("reloads_rolled_back", "generation")
_FLOWS, _ENTRIES, _OUTLETS = "quic.flows", "quic.entries", "quic.outlets"


class HandoverError(CannotStart):
    """What was left can't be read: the two programs do not understand each other."""


@dataclass(slots=True, frozen=True)
class SurvivingWorker:
    """A child that goes on under the new program."""

    pid: int
    role: str
    leaving: bool


@dataclass(slots=True, frozen=True)
class BoardCounts:
    """What the board has counted; goes on from there."""

    born: int
    restarts: Mapping[str, int]
    reloads: int
    reloads_refused: int
    reloads_rolled_back: int
    generation: int


@dataclass(slots=True, frozen=True)
class Handover:
    """Everything that the new program takes over."""

    settings: Mapping[str, Any]
    """Those in force, as JSON: what changes on a restart only is kept."""
    workers: int
    lock: int
    """Descriptor of the locked `gate.pid`."""
    sockets: Mapping[str, Sequence[int]]
    """Descriptors of the sockets by the name that `Ports` has for them, one for each worker."""
    children: Sequence[SurvivingWorker]
    counts: BoardCounts
    replaced: int | None = None
    """Descriptor of the page of replaced workers; a program of before had none to leave."""
    older: bool = False
    """It is for a program of 0.1.0, which takes no word that it does not know."""

    def descriptors(self) -> list[int]:
        """Return all that the new program inherits."""
        own = [self.lock] if self.replaced is None or self.older else [self.lock, self.replaced]
        return [*own, *(number for group in self.sockets.values() for number in group)]

    def leave(self, environ: MutableMapping[str, str]) -> None:
        """Make all of it survive an exec, and note in `environ` where it is."""
        memory = os.memfd_create("gate-handover")
        os.write(memory, json.dumps(self._document()).encode())
        for number in (memory, *self.descriptors()):
            os.set_inheritable(number, True)
        environ[VARIABLE] = str(memory)

    def _document(self) -> dict[str, Any]:
        """Return what `inherited` reads, here or in a program of 0.1.0."""
        document = asdict(self)
        if not document.pop("older"):
            return document
        # The pages that it reads have another layout: it is to make one of its own.
        del document["replaced"]
        document["elders"] = None
        for name in _NEWER_COUNTS:
            del document["counts"][name]
        return document

    def take_back(self, environ: MutableMapping[str, str]) -> None:
        """Undo `leave`, after an exec that failed."""
        os.close(int(environ.pop(VARIABLE)))
        for number in self.descriptors():
            os.set_inheritable(number, False)


def inherited(environ: MutableMapping[str, str]) -> Handover | None:
    """Return what a predecessor in this process has left; None at an ordinary start.

    Raises HandoverError.
    """
    number = environ.pop(VARIABLE, None)
    if number is None:
        return None
    try:
        with open(int(number), "rb") as memory:
            memory.seek(0)
            fields = json.load(memory)
        if "elders" in fields:  # as a program of 0.1.0 calls it
            fields["replaced"] = fields.pop("elders")
        fields["children"] = [SurvivingWorker(**child) for child in fields["children"]]
        counts = fields["counts"]
        # A program of 0.1.0 rolls nothing back, and counts its reloads alone.
        missing = {"reloads_rolled_back": 0, "generation": counts["reloads"]}
        fields["counts"] = BoardCounts(**(missing | counts))
        handover = Handover(**fields)
        for descriptor in handover.descriptors():
            os.set_inheritable(descriptor, False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise HandoverError(
            f"{VARIABLE}: what the program before this one left can't be used: {error}; "
            "start the gate anew"
        ) from error
    return handover


def descriptors_of(ports: Ports, registry: socket.socket | None) -> dict[str, list[int]]:
    """Return the descriptors of all sockets; listeners are `listener.NAME`."""
    numbers = {
        f"listener.{name}": [sock.fileno() for sock in sockets]
        for name, sockets in ports.data.items()
    }
    if ports.flows is not None and ports.mail is not None:
        numbers |= {
            _FLOWS: [ports.flows.descriptor],
            _ENTRIES: [sock.fileno() for sock in ports.mail.entries],
            _OUTLETS: [sock.fileno() for sock in ports.mail.outlets],
        }
    own = zip((*_OWN, _REGISTRY), (ports.admin, ports.notice, ports.control, registry), strict=True)
    return numbers | {name: [sock.fileno()] for name, sock in own if sock is not None}


def ports_of(handover: Handover) -> Ports:
    """Return the sockets that were left, but for that of the embedded registry."""
    found = {
        name: tuple(socket.socket(fileno=number) for number in numbers)
        for name, numbers in handover.sockets.items()
        if name not in (_REGISTRY, _FLOWS)
    }
    data = {
        name.removeprefix("listener."): sockets
        for name, sockets in found.items()
        if name.startswith("listener.")
    }
    notice = found.get("notice")
    ports = Ports(data, found["admin"][0], notice[0] if notice else None, found["control"][0])
    if _FLOWS not in handover.sockets:
        return ports
    flows = FlowBoard(handover.workers, handover.sockets[_FLOWS][0])
    return replace(ports, flows=flows, mail=Mailboxes(found[_ENTRIES], found[_OUTLETS]))


def registry_socket_of(handover: Handover) -> socket.socket | None:
    """Return the socket of the embedded registry, if one was left."""
    numbers = handover.sockets.get(_REGISTRY)
    return socket.socket(fileno=numbers[0]) if numbers else None
