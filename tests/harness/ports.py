"""Free loopback ports that nobody else takes before the test's program binds them.

They lie below the ephemeral range: a port that the kernel may hand to an outgoing connection can
be gone between the choice and the bind. Other processes that run tests at the same time choose from
same range, so a port is reserved first: one byte of a file that they share is locked for it. A lock
lasts until the process that chose the port ends, so that no port is given out while a gate that is
about to bind it is still starting, and none is left over when a run is killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

_LOWEST = 15000
_reservations: dict[int, int] = {}
"""The descriptor of the shared file, by process: a fork has none of its parent's locks."""
_ours: set[int] = set()
"""Ports handed out: a process can lock a byte twice, so the lock does not say."""


def _highest() -> int:
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    return max(int(text.split()[0]) - 1, _LOWEST + 2000)


def _reserve(port: int) -> bool:
    """Reserve `port` among all test processes of this user; False if another one has it."""
    if port in _ours:
        return False
    if os.getpid() not in _reservations:
        path = Path(tempfile.gettempdir()) / f"gate-test-ports-{os.getuid()}"
        _reservations[os.getpid()] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # A record lock (fcntl(2)): it goes with the process, and children do not inherit it.
        fcntl.lockf(_reservations[os.getpid()], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _ours.add(port)
    return True


def _is_free(port: int) -> bool:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except PermissionError:
                continue  # a low port: whether it is free cannot be asked, and need not be
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:  # a machine without IPv6
                    return False
    return True


def _first_free(candidates: Iterable[int]) -> int:
    for port in candidates:
        if _reserve(port) and _is_free(port):
            return port
    raise RuntimeError("no free loopback port found")


def free_port() -> int:
    """Return a TCP port that is free on 127.0.0.1 and ::1, never the same one twice."""
    highest = _highest()
    return _first_free(random.randint(_LOWEST, highest) for _ in range(1000))


def free_low_port() -> int:
    """Return a free TCP port that takes a right to bind (below 1024), never the same one twice."""
    return _first_free(random.sample(range(600, 1024), 424))
