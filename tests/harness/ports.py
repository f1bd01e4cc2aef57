"""Free loopback ports, taken below the ephemeral range.

A port that the kernel may hand to an outgoing connection can be gone between the
choice and the bind; ports below `ip_local_port_range` cannot.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_LOWEST = 15000
_handed_out: set[int] = set()


def _highest() -> int:
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    return max(int(text.split()[0]) - 1, _LOWEST + 2000)


def _is_free(port: int) -> bool:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def free_port() -> int:
    """Return a TCP port that is free on 127.0.0.1 and ::1, never the same one twice."""
    for _ in range(1000):
        port = random.randint(_LOWEST, _highest())
        if port not in _handed_out and _is_free(port):
            _handed_out.add(port)
            return port
    raise RuntimeError("no free loopback port found in 1000 tries")
