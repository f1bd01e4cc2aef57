"""Connections are counted by the client's address: once, and under one address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gate.proxy.connection import unmapped
from gate.proxy.reactor import new_event_loop
from tests.proxy.running import GET, OK, Reader, Running, accepted

HALF = b"GET / HTTP/1.1\r\nHost: example.cn\r\n"


@pytest.fixture
def trusting(tmp_path: Path, upstream: socket.socket) -> Iterator[Running]:
    """A plane that takes PROXY headers, and three connections from one address."""
    loop = new_event_loop()
    address = f"127.0.0.1:{upstream.getsockname()[1]}"
    running = Running(loop, tmp_path, address, trusted="127.0.0.0/8", connections_per_address=3)
    yield running
    running.close()
    loop.close()


def header(address: str) -> bytes:
    return f"PROXY TCP4 {address} 10.0.0.1 1000 80\r\n".encode()


@pytest.mark.parametrize("address", ["127.0.0.1", "203.0.113.9"])
def test_the_limit_of_an_address_counts_each_connection_once(
    trusting: Running, address: str
) -> None:
    """Its own address is what a balancer says in its health checks."""
    with ExitStack() as stack:
        for number in range(1, 4):
            sock = stack.enter_context(trusting.client())
            sock.send(header(address) + HALF)
            assert trusting.until(
                lambda: trusting.plane._plane.admission.by_address == {address: number}  # noqa: B023
            )
        sock = stack.enter_context(trusting.client())
        sock.send(header(address) + HALF)
        got = Reader(sock)
        assert trusting.until(lambda: bool(got().end))
    assert trusting.until(lambda: trusting.plane._plane.admission.by_address == {})
    assert trusting.plane._plane.admission.open == 0


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("::ffff:192.0.2.7", 1000, 0, 0), "192.0.2.7"),
        (("::ffff:c000:207", 1000, 0, 0), "::ffff:c000:207"),  # no kernel writes it so
        (("2001:db8::ffff:1", 1000, 0, 0), "2001:db8::ffff:1"),
        (("192.0.2.7", 1000), "192.0.2.7"),
    ],
)
def test_a_mapped_address_is_the_ipv4_address(peer: tuple[str, int], address: str) -> None:
    assert unmapped(peer)[0] == address
    assert unmapped(peer)[1] == 1000


@pytest.fixture
def dual(tmp_path: Path, upstream: socket.socket) -> Iterator[Running]:
    """A plane that listens for IPv6 and IPv4 on one socket."""
    loop = new_event_loop()
    address = f"127.0.0.1:{upstream.getsockname()[1]}"
    running = Running(loop, tmp_path, address, send_proxy="v1", host="::")
    yield running
    running.close()
    loop.close()


def test_a_mapped_client_is_an_ipv4_client_in_limits_fields_and_headers(
    dual: Running, upstream: socket.socket
) -> None:
    seen: list[str] = []
    dual.plane._listeners["http"]._observe = lambda *what: seen.append(what[2])
    dual.plane._listeners["http"]._observing = True
    with dual.client() as sock, ExitStack() as stack:
        sock.send(GET % 1)
        origin = stack.enter_context(accepted(dual, upstream))
        got = Reader(origin)
        assert dual.until(lambda: got().data.endswith(b"\r\n\r\n"))
        assert dual.plane._plane.admission.by_address == {"127.0.0.1": 1}
        assert got.data.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
        assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in got.data
        origin.send(OK)
    assert seen == ["127.0.0.1"]
