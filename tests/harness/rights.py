"""What some tests need of the machine beyond programs: rights that containers often withhold.

A program that is missing can be installed, so the test fails (`tests.harness.tools.require`). What
is asked for here nobody inside a container can mend: the test is skipped, and the one line that
pytest prints for it says what is missing.
"""

from __future__ import annotations

import functools
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.harness.tools import require

_FIRST_FREE_FOR_ALL = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@functools.cache
def _refusal(*command: str) -> str:
    """Why `command` fails; "" where it does not."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


def _lacks(what: str, why: str) -> None:
    pytest.skip(f"this machine lacks {what} ({why})")


def in_own_network() -> tuple[str, ...]:
    """Return what goes before a command for it to have no capability, in a network of its own."""
    command = (require("unshare"), "--user", "--net")
    if refusal := _refusal(*command, "true"):
        _lacks("user namespaces", refusal)
    return command


def with_own_network() -> tuple[str, ...]:
    """Return what goes before a command for it to set up a network of its own."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = (require("unshare"), *user, "--net")
    if refusal := _refusal(*command, require("ip"), "link", "set", "lo", "up"):
        _lacks("network namespaces (CAP_SYS_ADMIN or user namespaces)", refusal)
    return command


def with_own_mounts() -> tuple[str, ...]:
    """Return what goes before a command for it to mount what no other process sees."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = (require("unshare"), *user, "--mount")
    if refusal := _refusal(*command, "mount", "-t", "tmpfs", "none", "/tmp"):
        _lacks("the right to mount a file system (CAP_SYS_ADMIN or user namespaces)", refusal)
    return command


def new_terminal() -> tuple[int, int]:
    """Return both ends of a pseudo-terminal, as os.openpty() gives them."""
    try:
        return os.openpty()
    except OSError as error:
        _lacks("pseudo-terminals (/dev/pts)", str(error))
        raise


def require_privileged_ports() -> None:
    """Go on only where it takes a right to bind a port below 1024."""
    first = int(_FIRST_FREE_FOR_ALL.read_text())
    if first < 1024:
        _lacks("ports that take a right to bind", f"{_FIRST_FREE_FOR_ALL} is {first}")


@functools.cache
def has_ipv6() -> bool:
    """Return whether ::1 can be listened on."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def require_ipv6() -> None:
    """Go on only where there is ::1."""
    if not has_ipv6():
        _lacks("IPv6", "::1 cannot be listened on")
