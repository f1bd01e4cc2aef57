"""What the bench knows of a server: how it is set up, where it listens, which processes it has."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from .process import (
    Memory,
    cpu_seconds,
    descendants,
    descriptors,
    memory,
    stop,
    waited_cpu_seconds,
)

NOTICE = "http://notice.example/"
FLOOR = "floor"
"""The server that does nothing but the gate's system calls: no peer."""


class Variant(StrEnum):
    """One of the set-ups a server is measured in."""

    KEEP = "keep"
    """A redirect leaves the connection open, where the server can do that."""
    CLOSE = "close"
    """A redirect closes the connection."""
    SINK = "sink"
    """HTTP goes to the upstream that takes posted bodies."""
    HALF = "half"
    """A side of a tunnel that has ended still gets what the other one sends, as the gate has it."""
    FED = "fed"
    """As KEEP, and the list can be changed while the server runs."""


class Front(StrEnum):
    """How connections come to a server, and from which address it dials the host."""

    DIALLED = "dialled"
    """Clients dial the server, which dials one host from its own address."""
    CLIENT = "client"
    """The host sees the client's address."""
    TRANSPARENT = "transparent"
    """Clients dial the hosts (tproxy), which see the server's address; the gate alone has it."""
    TRANSPARENT_CLIENT = "transparent-client"
    """Clients dial the hosts, which see the client's address; the gate alone has it."""


@dataclass(slots=True, frozen=True)
class Place:
    """The addresses of a set-up: all on the loopback interface, or as networks are laid."""

    listen: str = "127.0.0.1"
    """Where the server listens."""
    dialled: str = "127.0.0.1"
    """Where clients connect to."""
    host: str = "127.0.0.1"
    """Where the upstreams are."""


@dataclass(slots=True, frozen=True)
class Setup:
    """What a server is to be started with."""

    folder: Path
    names: Path
    size: int
    variant: Variant
    workers: int
    http_port: int
    tls_port: int
    spare_ports: tuple[int, int, int]
    http_upstream: int
    tls_upstream: int
    cores: frozenset[int]
    place: Place = Place()
    front: Front = Front.DIALLED
    settle: bool = True
    """Wait until the work of a start is over."""
    settings: str = ""
    """More of the gate's settings, as YAML."""


@dataclass(slots=True)
class Running:
    """A server that runs; `start_seconds` is from exec to its first answer."""

    name: str
    setup: Setup
    child: subprocess.Popen[bytes] | None
    start_seconds: float
    worker_pids: Callable[[], list[int]] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def pids(self) -> list[int]:
        """All processes of the server, the first one first."""
        return [] if self.child is None else descendants(self.child.pid)

    def cpu(self) -> float:
        """CPU seconds of all processes since their start, with those that have ended."""
        waited = waited_cpu_seconds(self.child.pid) if self.child else 0.0
        return sum(map(cpu_seconds, self.pids())) + waited

    def worker_cpu(self) -> float:
        """CPU seconds of the processes that carry traffic."""
        return sum(map(cpu_seconds, self.worker_pids() if self.worker_pids else self.pids()))

    def memory(self) -> Memory:
        """Memory of all processes."""
        total = Memory(0, 0, 0)
        for pid in self.pids():
            total += memory(pid)
        return total

    def descriptors(self) -> int:
        """Open descriptors of all processes."""
        return sum(map(descriptors, self.pids()))

    def stop(self) -> None:
        """End the server."""
        if self.child is not None:
            stop(self.child)


Starter = Callable[[Setup], Running]
