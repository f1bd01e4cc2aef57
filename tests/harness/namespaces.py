"""Networks of a test's own: a client, a gate in the middle, and hosts behind it.

    client                     gate                        hosts
    10.77.1.2 ── c0    c1 10.77.1.1 │ 10.77.2.1 h1    h0 ── 10.77.2.10 to .13
    fd77:1::2          fd77:1::1    │ fd77:2::1            fd77:2::10 to ::13

Three network namespaces, named after this process, which are gone when the test is over. What the
machine lacks for that is said in one line, and the test skipped (see tests.harness.rights).
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest

from tests.harness.gate_process import Gate
from tests.harness.planes import Plane
from tests.harness.tools import require
from tests.harness.waiting import patience

_CLONE_NEWNET: Final = 0x40000000
_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)

CLIENT = {4: "10.77.1.2", 6: "fd77:1::2"}
GATE = {4: "10.77.2.1", 6: "fd77:2::1"}
"""The gate's own address on the hosts' side."""
HOST = {4: "10.77.2.10", 6: "fd77:2::10"}
OTHER_HOST = {4: "10.77.2.11", 6: "fd77:2::11"}
THIRD_HOST = {4: "10.77.2.12", 6: "fd77:2::12"}
QUIC_HOST = {4: "10.77.2.13", 6: "fd77:2::13"}
"""Real QUIC servers may have UDP 443 there; at the others datagrams are recorded."""
NO_HOST = {4: "10.77.2.99", 6: "fd77:2::99"}
"""Nobody has it."""
HOSTS = ("10.77.2.0/24", "fd77:2::/64")
HOST_SIDE = "h1"


class InnerNetworks:
    """The three namespaces, wired up."""

    def __init__(self) -> None:
        prefix = f"gate-test-{os.getpid()}-{next(_numbers)}"
        self.client, self.gate, self.hosts = (
            f"{prefix}-{place}" for place in ("client", "gate", "hosts")
        )
        ip = _right_to_namespaces()
        try:
            for name in self._names():
                _run(ip, "netns", "add", name)
                self.run(name, ip, "link", "set", "lo", "up")
                # No wait for duplicates of an address, which nobody else can have.
                for scope in ("all", "default"):
                    self.run(name, "sysctl", "-qw", f"net.ipv6.conf.{scope}.accept_dad=0")
            self._wire("c0", self.client, "c1", self.gate)
            self._wire("h0", self.hosts, "h1", self.gate)
            for name, interface, addresses in (
                (self.client, "c0", [CLIENT]),
                (self.gate, "c1", [{4: "10.77.1.1", 6: "fd77:1::1"}]),
                (self.gate, "h1", [GATE]),
                (self.hosts, "h0", [HOST, OTHER_HOST, THIRD_HOST, QUIC_HOST]),
            ):
                for pair in addresses:
                    for address, bits in ((pair[4], 24), (pair[6], 64)):
                        self.run(
                            name, ip, "address", "add", f"{address}/{bits}", "dev", interface,
                            *(["nodad"] if bits == 64 else []),
                        )  # fmt: skip
            for name, four, six in (
                (self.client, "10.77.1.1", "fd77:1::1"),
                (self.hosts, "10.77.2.1", "fd77:2::1"),
            ):
                self.run(name, ip, "-4", "route", "add", "default", "via", four)
                self.run(name, ip, "-6", "route", "add", "default", "via", six)
            for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
                self.run(self.gate, "sysctl", "-qw", f"{key}=1")
        except BaseException:
            self.close()
            raise

    def _names(self) -> tuple[str, ...]:
        return self.client, self.gate, self.hosts

    def _wire(self, one: str, at: str, other: str, elsewhere: str) -> None:
        ip = require("ip")
        self.run(
            at, ip, "link", "add", one, "type", "veth", "peer", "name", other, "netns", elsewhere
        )
        self.run(at, ip, "link", "set", one, "up")
        self.run(elsewhere, ip, "link", "set", other, "up")

    def run(self, name: str, *command: str, given: str = "") -> str:
        """Run a command in one of the namespaces; return what it prints."""
        return _run(require("ip"), "netns", "exec", name, *command, given=given)

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Within this block, sockets that this thread makes are in one of the namespaces."""
        mine = f"/proc/self/task/{threading.get_native_id()}/ns/net"
        with open(mine, "rb") as before:
            with open(f"/run/netns/{name}", "rb") as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def close(self) -> None:
        """Remove the namespaces; what runs in them must have ended."""
        ip = require("ip")
        for name in self._names():
            if Path(f"/run/netns/{name}").exists():
                _run(ip, "netns", "delete", name)

    def __enter__(self) -> InnerNetworks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class InnerGate(Gate):
    """A gate in the namespace in the middle."""

    networks: InnerNetworks

    @classmethod
    def put(
        cls, networks: InnerNetworks, directory: Path, settings: dict[str, object], plane: Plane
    ) -> InnerGate:
        """Return a gate that is not started yet."""
        through = (require("ip"), "netns", "exec", networks.gate)
        gate = cls(directory, settings, through=through, plane=plane)
        gate.networks = networks
        return gate

    def ask_admin(self, path: str) -> tuple[int, str]:
        """As elsewhere, from beside the gate."""
        with self.networks.inside(self.networks.gate):
            return super().ask_admin(path)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _right_to_namespaces() -> str:
    """Return the program that makes them; skip the test where this machine does not let it."""
    ip, nft = require("ip"), require("nft")
    name = f"gate-test-{os.getpid()}-try"
    done = subprocess.run([ip, "netns", "add", name], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine lacks network namespaces ({done.stderr.strip()}); it takes root")
    try:
        rules = (
            "table inet t { chain c { type filter hook prerouting priority mangle; "
            "ip daddr 10.0.0.1 tcp dport 1 tproxy ip to :1 accept; "
            "socket transparent 1 accept; }; }\n"
        )
        done = subprocess.run(
            [ip, "netns", "exec", name, nft, "-f", "-"],
            input=rules, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            why = done.stderr.strip().splitlines()[0]
            pytest.skip(f"this machine lacks nftables with tproxy and socket ({why})")
    finally:
        _run(ip, "netns", "delete", name)
    return ip


def _run(*command: str, given: str = "") -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, input=given, timeout=patience(30), check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout
