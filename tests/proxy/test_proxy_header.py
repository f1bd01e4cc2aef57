"""The PROXY header that an upstream asks for: once on each connection, before all else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.planes import Plane
from tests.proxy.running import GET, OK, Reader, Running, accepted, new_loop, push

BODY = b"x" * (1 << 20)
UPLOAD = b"POST / HTTP/1.1\r\nHost: example.cn\r\nContent-Length: %d\r\n\r\n" % len(BODY)

Start = Callable[[str], Running]


@pytest.fixture
def start(tmp_path: Path, plane: Plane) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(address: str) -> Running:
            loop = new_loop(plane)
            stack.callback(loop.close)
            running = Running(loop, tmp_path, address, send_proxy="v1")
            stack.callback(running.close)
            return running

        yield started


def at(sock: socket.socket) -> str:
    host, port = sock.getsockname()
    return f"{host}:{port}"


def header(client: socket.socket) -> bytes:
    ports = client.getsockname()[1], client.getpeername()[1]
    return b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % ports


def exchange(running: Running, upstream: socket.socket, client: socket.socket, number: int) -> None:
    """One request and its response; before the request the origin gets one header."""
    client.send(GET % number)
    with accepted(running, upstream) as origin:
        asked, got = Reader(origin), Reader(client)
        assert running.until(lambda: asked().data.endswith(b"\r\n\r\n"))
        assert asked.data.startswith(header(client) + b"GET /%d " % number)
        running.turn()
        assert (asked().data.count(b"PROXY "), asked.data.count(b"\r\n\r\n")) == (1, 1)
        origin.send(OK)
        assert running.until(lambda: got().data.endswith(b"ok"))


def test_each_connection_has_one(start: Start, upstream: socket.socket) -> None:
    running = start(at(upstream))
    with running.client() as client:
        exchange(running, upstream, client, 1)
        exchange(running, upstream, client, 2)


def test_there_is_no_second_one_after_an_endpoint_that_refuses(
    start: Start, upstream: socket.socket
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = at(closed)
    running = start(f"{refusing} {at(upstream)}")
    with running.client() as client:
        exchange(running, upstream, client, 1)
        exchange(running, upstream, client, 2)
    assert running.plane.stats()["upstream_failures"][refusing] == 1


def test_it_counts_among_the_bytes_for_the_upstream_once(
    start: Start, upstream: socket.socket
) -> None:
    running = start(at(upstream))
    with running.client() as client:
        client.send(GET % 1)
        with accepted(running, upstream) as origin:
            asked = Reader(origin)
            assert running.until(lambda: asked().data.endswith(b"\r\n\r\n"))
            running.turn()
            assert asked().data.count(b"\r\n\r\n") == 1
            assert running.plane.stats()["bytes"]["up"] == len(asked.data)


def test_there_is_no_second_one_before_what_the_upstream_takes_later(
    start: Start, upstream: socket.socket
) -> None:
    upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    running = start(at(upstream))
    with running.client() as client:
        first = header(client) + b"POST / "
        client.send(UPLOAD)
        with accepted(running, upstream) as origin:
            got = Reader(origin)
            sent = 0

            def arrived() -> bool:
                nonlocal sent
                sent += push(client, BODY[sent:])
                return got().data.endswith(BODY)

            assert running.until(arrived)
    assert got.data.startswith(first)
    head = got.data.removesuffix(BODY)
    assert head.endswith(b"\r\n\r\n")
    assert (head.count(b"PROXY "), head.count(b"\r\n\r\n")) == (1, 1)
    assert running.plane.stats()["bytes"]["up"] == len(got.data)
