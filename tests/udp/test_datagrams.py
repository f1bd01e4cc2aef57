"""UDP sockets as the gate sets them up, on the kernel at hand."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gate.proxy.datagrams import (
    CONTROL_BYTES,
    SOL_UDP,
    Rows,
    connect,
    kernel_drops,
    prepare_listener,
    sent_from,
    told_with,
    widen_queues,
)
from tests.harness.rights import require_ipv6, with_own_network

UDP_SEGMENT = 103
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 23, 3


@contextmanager
def listener(host: str) -> Iterator[socket.socket]:
    if ":" in host:
        require_ipv6()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        prepare_listener(sock)
        sock.setblocking(True)
        sock.settimeout(5)
        yield sock


def receive(sock: socket.socket) -> tuple[bytes, int, bytes, object]:
    """A datagram or row: its bytes, the size of each, where it was sent to, and by whom."""
    buffer = bytearray(65536)
    size, control, _, sender = sock.recvmsg_into([buffer], CONTROL_BYTES)
    return bytes(buffer[:size]), *told_with(control), sender


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_neither_side_fragments(host: str) -> None:
    with listener(host) as sock:
        upstream = connect(sock.family, sock.getsockname())
        for each in (sock, upstream):
            level, option = (
                (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER)
                if ":" in host
                else (socket.IPPROTO_IP, IP_MTU_DISCOVER)
            )
            assert each.getsockopt(level, option) == IP_PMTUDISC_PROBE
        upstream.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_row_goes_out_and_comes_in_with_its_size(host: str) -> None:
    rows = Rows()
    with listener(host) as sock:
        upstream = connect(sock.family, sock.getsockname())
        row = b"".join(bytes([number]) * 1200 for number in range(20)) + b"end"
        assert rows.send(upstream, memoryview(row), 1200, []) == len(row)
        data, segment, local, sender = receive(sock)
        assert (data, segment, local) == (row, 1200, b"")
        assert sender == upstream.getsockname()
        assert rows.send(upstream, memoryview(b"one"), 1200, []) == 3
        assert receive(sock)[:2] == (b"one", 0)
        upstream.close()
    assert rows.offload
    assert rows.dropped == 0


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.9"), ("::", "::1")])
def test_a_socket_of_every_address_answers_from_the_one_that_was_asked(
    host: str, asked: str
) -> None:
    with listener(host) as sock:
        family = sock.family
        local = socket.inet_pton(family, asked)
        client = connect(family, (asked, sock.getsockname()[1]))
        client.send(b"question")
        data, _, told, sender = receive(sock)
        assert (data, told) == (b"question", local)
        for segment, answer in ((0, b"answer"), (3, b"aaabbbc")):
            Rows().send(sock, memoryview(answer), segment, sent_from(told), sender)
            client.setblocking(True)
            client.settimeout(5)
            assert client.recv(100) == answer
        client.close()


class WithoutOffload(socket.socket):
    """A socket towards a device that takes no rows: the kernel says EIO (quic-go#3911)."""

    rows = 0

    def sendmsg(self, buffers: Any, ancdata: Any = (), *more: Any) -> int:
        if any(control[:2] == (SOL_UDP, UDP_SEGMENT) for control in ancdata):
            self.rows += 1
            raise OSError(errno.EIO, "Input/output error")
        return super().sendmsg(buffers, ancdata, *more)


@pytest.mark.parametrize("connected", [True, False])
def test_a_device_without_offload_gets_datagrams_one_by_one(connected: bool) -> None:
    rows = Rows()
    with (
        listener("127.0.0.1") as sock,
        WithoutOffload(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        address = None if connected else sock.getsockname()
        if connected:
            sender.connect(sock.getsockname())
        row = b"a" * 100 + b"b" * 100 + b"c" * 7
        for _ in range(3):
            assert rows.send(sender, memoryview(row), 100, [], address) == len(row)
            received = b""
            while len(received) < len(row):
                received += receive(sock)[0]
            assert received == row
        assert not rows.offload
        assert sender.rows == 1, "it is not asked again"


LINK = """
import socket, sys
from gate.proxy.datagrams import Rows, connect
rows = Rows()
upstream = connect(socket.AF_INET, ("10.9.0.2", 443))
sent = [
    rows.send(upstream, memoryview(bytes(size)), segment, [])
    for size, segment in ((1372, 0), (1373, 0), (5000, 1372), (2846, 1373), (100, 0))
]
print(sent, rows.dropped, rows.offload)
"""
NETWORK = """
set -e
ip link set lo up
ip link add v0 type veth peer name v1
ip addr add 10.9.0.1/24 dev v0
ip link set v0 mtu 1400 up
ip link set v1 up
ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:01 dev v0
exec "$@"
"""


@pytest.mark.programs
def test_a_narrow_link_loses_what_is_too_long_and_nothing_else() -> None:
    """A link of 1,400 bytes takes datagrams of 1,372, in rows or alone, and fragments none."""
    command = [*with_own_network(), "sh", "-c", NETWORK, "sh", sys.executable, "-c", LINK]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    # Of the row of two too long ones and a short one, the short one goes.
    assert done.stdout == "[1372, 0, 5000, 100, 100] 3 True\n"


def test_nobody_there_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    rows = Rows()
    upstream = connect(socket.AF_INET, address)
    rows.send(upstream, memoryview(b"is anybody there"), 0, [])  # on loopback the answer is there
    with pytest.raises(ConnectionRefusedError):
        rows.send(upstream, memoryview(b"and now"), 0, [])
    upstream.close()


def test_what_the_kernel_had_no_room_for_is_counted() -> None:
    with listener("127.0.0.1") as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        upstream = connect(sock.family, sock.getsockname())
        for _ in range(50):
            upstream.send(bytes(1200))
        assert kernel_drops(sock) > 0
        upstream.close()


def test_queues_are_as_long_as_the_machine_allows() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        widen_queues(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > before
