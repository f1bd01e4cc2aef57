"""What clients and the upstream send, and how it is known that a server has taken it all.

Initials are built once, and sent again from other addresses of the loopback network: to each
server that is another connection. A burst is followed by the next when the server's queue is
empty; what the kernel had to drop meanwhile is not counted as done.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.side_by_side.process import BenchError
from tests.harness.initial import Initials, long_header

BURST = 200
PAYLOAD = 1200
_SEGMENT = (17, 103)
_GRO = (17, 104)
_PKTINFO = struct.Struct("@i4s4s")


def initials(names: Sequence[str], count: int) -> list[bytes]:
    """First datagrams that ask for `names` in turn."""
    return [Initials().hello(name) for name in itertools.islice(itertools.cycle(names), count)]


class Clients:
    """Sends datagrams to a port, each from an address of its own."""

    def __init__(self, port: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("0.0.0.0", 0))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._sock.setblocking(False)
        self._there = ("127.0.0.1", port)
        self._port = port
        self._sources = itertools.cycle(
            socket.inet_aton(f"127.{a}.{b}.{c}")
            for a in range(10, 250)
            for b in range(250)
            for c in range(1, 250)
        )

    def send(self, datagrams: Sequence[bytes]) -> int:
        """Send all of them in bursts; returns how many the server's kernel took."""
        before = queue(self._port)[1]
        for at in range(0, len(datagrams), BURST):
            for datagram, source in zip(datagrams[at : at + BURST], self._sources, strict=False):
                control = (socket.IPPROTO_IP, 8, _PKTINFO.pack(0, source, source))
                self._sock.sendmsg((datagram,), (control,), 0, self._there)
            drained(self._port)
            self._forget_answers()
        return len(datagrams) - (queue(self._port)[1] - before)

    def _forget_answers(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._sock.recv(2048)

    def close(self) -> None:
        self._sock.close()


class Upstream:
    """The server behind the server."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.sock.setsockopt(*_GRO, 1)
        self.sock.setblocking(False)
        self.port: int = self.sock.getsockname()[1]

    def take(self) -> int:
        """How many bytes are there; they are read."""
        total = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                total += len(self.sock.recv(65536))
        return total

    def close(self) -> None:
        self.sock.close()


class Flow:
    """An open connection through a server, from a client's socket to the upstream's."""

    def __init__(self, port: int, upstream: Upstream, name: str) -> None:
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.client.setsockopt(*_GRO, 1)
        self.client.connect(("127.0.0.1", port))
        self.client.settimeout(10)
        self._upstream = upstream
        sending, self._cid = Initials(), secrets.token_bytes(8)
        upstream.sock.settimeout(10)
        self.client.send(sending.hello(name))
        _, self.server = upstream.sock.recvfrom(65536)
        head = long_header("handshake", sending.scid, self._cid, size=1160)
        upstream.sock.sendto(head + secrets.token_bytes(1156), self.server)
        self.client.recv(65536)
        self.client.send(self.packet())
        upstream.sock.recv(65536)
        upstream.sock.setblocking(False)
        self.client.setblocking(False)

    def packet(self) -> bytes:
        """A 1-RTT packet."""
        return (b"\x43" + self._cid).ljust(PAYLOAD, b"x")

    def up(self, row: int) -> None:
        """Send a row of packets to the upstream, in one call if there are several."""
        _send(self.client, self.packet() * row, row, None)

    def down(self, row: int) -> None:
        """Send a row of packets to the client."""
        _send(self._upstream.sock, b"\x41".ljust(PAYLOAD, b"x") * row, row, self.server)

    def take(self) -> int:
        """How many bytes have come to the client; they are read."""
        total = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                total += len(self.client.recv(65536))
        return total

    def close(self) -> None:
        self.client.close()


def _send(sock: socket.socket, data: bytes, row: int, address: object) -> None:
    control = [(*_SEGMENT, struct.pack("@H", PAYLOAD))] if row > 1 else []
    if address is None:
        sock.sendmsg((data,), control)
    else:
        sock.sendmsg((data,), control, 0, address)  # type: ignore[arg-type]


def queue(port: int) -> tuple[int, int]:
    """Bytes that wait in the queues of a UDP port, and datagrams that it had no room for."""
    waiting = drops = 0
    for fields in _sockets():
        if int(fields[1].rpartition(":")[2], 16) == port:
            waiting += int(fields[4].partition(":")[2], 16)
            drops += int(fields[12])
    return waiting, drops


def _sockets() -> Iterator[list[str]]:
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        yield line.split()


def drained(port: int, seconds: float = 20.0) -> None:
    """Return when nothing waits in a port's queues. Raises BenchError."""
    ends = time.monotonic() + seconds
    while queue(port)[0]:
        if time.monotonic() > ends:
            raise BenchError(f"the server at port {port} does not read")
        time.sleep(0.0002)
