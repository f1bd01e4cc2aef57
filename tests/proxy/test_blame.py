"""Whose fault it is when an exchange or a tunnel fails, and what follows for the endpoint."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.proxy.upstream import OriginEndpoint
from tests.harness.hello import real_hello
from tests.harness.planes import Plane
from tests.proxy.running import (
    GET,
    OK,
    POST,
    Reader,
    Running,
    accepted,
    http_connection,
    new_loop,
    push,
)

HELLO = real_hello("example.cn")
LARGE = b"POST / HTTP/1.1\r\nHost: example.cn\r\nContent-Length: 100000000\r\n\r\n"


def close(sock: socket.socket) -> None:
    sock.close()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def failures(running: Running) -> int:
    return sum(running.plane.stats()["upstream_failures"].values())


def resting(running: Running) -> bool:
    return bool(sum(running.plane.stats()["upstream_resting"].values()))


def heard(running: Running, origin: socket.socket, mark: bytes) -> None:
    got = Reader(origin)
    assert running.until(lambda: mark in got().data)


@pytest.fixture
def hasty(tmp_path: Path, upstream: socket.socket, plane: Plane) -> Iterator[Running]:
    """A plane that waits a second for anything."""
    loop = new_loop(plane)
    address = f"127.0.0.1:{upstream.getsockname()[1]}"
    running = Running(
        loop, tmp_path, address, body_idle_seconds=1.0, head_seconds=30.0, idle_seconds=30.0
    )
    yield running
    running.close()
    loop.close()


# An origin that takes a connection and then breaks.


@pytest.mark.parametrize("end", [close, reset])
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_an_origin_that_breaks_before_its_response_head_rests(
    running: Running, upstream: socket.socket, end: object, begun: bytes
) -> None:
    assert callable(end)
    with running.client() as sock:
        sock.send(GET % 1)
        origin = accepted(running, upstream)
        heard(running, origin, b"\r\n\r\n")
        origin.send(begun)
        end(origin)
        got = Reader(sock)
        assert running.until(lambda: bool(got().end))
    assert got.data.startswith(b"HTTP/1.1 502 ")
    assert failures(running) == 1
    assert resting(running)


def kept_alive(running: Running, upstream: socket.socket, sock: socket.socket) -> socket.socket:
    """One answered exchange; returns the origin's side of the connection that is kept."""
    sock.send(GET % 0)
    origin = accepted(running, upstream)
    heard(running, origin, b"\r\n\r\n")
    origin.send(OK)
    got = Reader(sock)
    assert running.until(lambda: got().data.endswith(b"ok"))
    assert running.until(lambda: sum(running.plane.stats()["upstream_idle"].values()) == 1)
    return origin


def test_a_kept_connection_that_the_origin_closes_is_no_failure(
    running: Running, upstream: socket.socket
) -> None:
    with running.client() as sock:
        origin = kept_alive(running, upstream, sock)
        sock.send(GET % 1)
        heard(running, origin, b"\r\n\r\n")
        origin.close()  # as a keep-alive time-out that meets the request
        again = accepted(running, upstream)
        heard(running, again, b"GET /1")
        again.send(OK)
        got = Reader(sock)
        assert running.until(lambda: got().data.endswith(b"ok"))
        again.close()
    assert failures(running) == 0


def test_a_kept_connection_that_breaks_inside_a_response_head_is_a_failure(
    running: Running, upstream: socket.socket
) -> None:
    with running.client() as sock:
        origin = kept_alive(running, upstream, sock)
        sock.send(GET % 1)
        heard(running, origin, b"\r\n\r\n")
        origin.send(b"HTTP/1.1 2")
        origin.close()
        got = Reader(sock)
        assert running.until(lambda: bool(got().end))
    assert got.data.startswith(b"HTTP/1.1 502 ")
    assert (failures(running), resting(running)) == (1, True)


@pytest.mark.parametrize("end", [close, reset])
def test_a_tls_origin_that_breaks_before_its_first_byte_rests(
    running: Running, upstream: socket.socket, end: object
) -> None:
    assert callable(end)
    with running.client(1) as sock:
        sock.send(HELLO)
        origin = accepted(running, upstream)
        heard(running, origin, HELLO)
        end(origin)
        got = Reader(sock)
        assert running.until(lambda: bool(got().end))
        assert running.until(lambda: failures(running) == 1)
    assert resting(running)


def test_a_tls_origin_that_has_answered_may_end_as_it_likes(
    running: Running, upstream: socket.socket
) -> None:
    with running.client(1) as sock:
        sock.send(HELLO)
        origin = accepted(running, upstream)
        heard(running, origin, HELLO)
        origin.send(b"alert")
        got = Reader(sock)
        assert running.until(lambda: got().data == b"alert")
        reset(origin)
        assert running.until(lambda: bool(got().end))
    assert failures(running) == 0


def test_a_tls_client_that_leaves_first_is_not_the_origins_failure(
    running: Running, upstream: socket.socket
) -> None:
    with running.client(1) as sock:
        sock.send(HELLO)
        origin = accepted(running, upstream)
        got = Reader(origin)
        assert running.until(lambda: got().data == HELLO)
        sock.shutdown(socket.SHUT_WR)
        assert running.until(lambda: got().end == "fin")
        reset(origin)
        assert running.until(lambda: running.plane.stats()["connections_open"] == 0)
    assert failures(running) == 0


def test_a_name_that_only_monitoring_lets_through_is_not_the_origins_failure(
    running: Running, upstream: socket.socket
) -> None:
    """The origin may well refuse what it does not serve."""
    for state in running.plane._listeners.values():
        state.enforcing = False
    with running.client(1) as sock:
        hello = real_hello("unfiled.cn")
        sock.send(hello)
        origin = accepted(running, upstream)
        heard(running, origin, hello)
        reset(origin)
        assert running.until(lambda: running.plane.stats()["connections_open"] == 0)
    assert failures(running) == 0


# The gate's own shortage.


@pytest.mark.python_plane
@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]
)
@pytest.mark.parametrize("index", [0, 1])
def test_the_gates_own_shortage_is_not_the_origins_failure(
    running: Running, monkeypatch: pytest.MonkeyPatch, number: int, index: int
) -> None:
    def connect(self: OriginEndpoint) -> socket.SocketType:
        raise OSError(number, "no more")

    monkeypatch.setattr(OriginEndpoint, "connect", connect)
    with running.client(index) as sock:
        sock.send((GET % 1, HELLO)[index])
        got = Reader(sock)
        assert running.until(lambda: bool(got().end))
    assert got.data[:13] == (b"HTTP/1.1 503 ", b"")[index]
    assert (failures(running), resting(running)) == (0, False)
    assert running.plane.stats()["connections_ended"]["dial_exhausted"] == 1


def test_a_gate_without_descriptors_says_so_and_serves_on(
    running: Running, upstream: socket.socket
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running.client() as sock:
        sock.send(b"GET / HTTP/1.1\r\n")
        assert running.until(lambda: running.plane.stats()["connections_open"] == 1)
        lowest = os.dup(upstream.fileno())
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limit[1]))
        try:
            sock.send(b"Host: example.cn\r\n\r\n")
            got = Reader(sock)
            assert running.until(lambda: bool(got().end))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert got.data.startswith(b"HTTP/1.1 503 ")
    assert (failures(running), resting(running)) == (0, False)
    with running.client() as sock:
        sock.send(GET % 1)
        accepted(running, upstream).close()


# A request on a kept connection that turns out to be dead.


@pytest.mark.parametrize("end", [close, reset])
@pytest.mark.parametrize("request_", [GET % 7, POST, LARGE + b"begin"])
def test_no_request_is_lost_to_a_kept_connection_that_is_known_to_be_dead(
    running: Running, upstream: socket.socket, end: object, request_: bytes
) -> None:
    """The end and the request are seen in one batch of events, the request first."""
    assert callable(end)
    with running.client() as sock:
        origin = kept_alive(running, upstream, sock)
        sock.send(request_)
        end(origin)
        again = accepted(running, upstream)
        got = Reader(again)
        assert running.until(lambda: got().data.endswith(request_[-4:]))
        assert got.data.count(b"HTTP/1.1\r\n") == 1
        assert failures(running) == 0
        again.close()


def test_a_post_that_may_have_reached_the_origin_is_not_sent_again_and_counts(
    running: Running, upstream: socket.socket
) -> None:
    with running.client() as sock:
        origin = kept_alive(running, upstream, sock)
        sock.send(POST)
        heard(running, origin, b"hi")
        origin.close()
        got = Reader(sock)
        assert running.until(lambda: bool(got().end))
    assert got.data.startswith(b"HTTP/1.1 502 ")
    assert failures(running) == 1
    assert not resting(running), "a keep-alive time-out is no illness"
    with pytest.raises(BlockingIOError):
        upstream.accept()


def test_a_put_whose_body_is_no_longer_at_hand_is_not_sent_again(
    running: Running, upstream: socket.socket
) -> None:
    """A part of it would arrive as if it were all."""
    with running.client() as sock:
        origin = kept_alive(running, upstream, sock)
        sock.send(b"PUT / HTTP/1.1\r\nHost: example.cn\r\nContent-Length: 10\r\n\r\nbegin")
        seen = Reader(origin)
        assert running.until(lambda: b"begin" in seen().data)
        sock.send(b"- end")
        assert running.until(lambda: b"- end" in seen().data)
        origin.close()
        got = Reader(sock)
        assert running.until(lambda: bool(got().data), 3), "no answer"
    assert got.data.startswith(b"HTTP/1.1 502 ")
    assert failures(running) == 1
    with pytest.raises(BlockingIOError):
        upstream.accept()


# A body that stalls.


def test_an_origin_that_does_not_read_the_body_is_blamed(
    hasty: Running, upstream: socket.socket
) -> None:
    with hasty.client() as sock:
        sock.send(LARGE)
        origin = accepted(hasty, upstream)
        body = b"x" * (1 << 18)
        got = Reader(sock)

        def pour() -> bool:
            push(sock, body)
            return bool(got().data)

        assert hasty.until(pour, 15)
        assert got.data.startswith(b"HTTP/1.1 504 ")
        assert (failures(hasty), resting(hasty)) == (1, True)
        origin.close()


def test_a_client_that_does_not_send_the_body_is_blamed(
    hasty: Running, upstream: socket.socket
) -> None:
    with hasty.client() as sock:
        sock.send(LARGE + b"begin")
        origin = accepted(hasty, upstream)
        got = Reader(sock)
        assert hasty.until(lambda: bool(got().data), 10)
        assert got.data.startswith(b"HTTP/1.1 408 ")
        assert failures(hasty) == 0
        origin.close()


# The next head of a client that has ended its side.


def test_a_head_that_can_never_be_complete_ends_the_connection_at_once(
    hasty: Running, upstream: socket.socket
) -> None:
    """Well before head_seconds, which are thirty here."""
    with hasty.client() as sock:
        sock.send(GET % 1 + b"GET /2 HTT")
        sock.shutdown(socket.SHUT_WR)
        origin = accepted(hasty, upstream)
        heard(hasty, origin, b"\r\n\r\n")
        origin.send(OK)
        got = Reader(sock)
        assert hasty.until(lambda: bool(got().end), 10)
        assert got.data.endswith(b"ok")
        origin.close()
    assert hasty.plane.stats()["connections_ended"] == {"truncated": 1}


# The entry, and faults of ours.


def test_what_waits_when_a_drain_begins_is_served(
    running: Running, upstream: socket.socket
) -> None:
    clients = [running.client() for _ in range(100)]
    for sock in clients:
        sock.send(b"GET / HTTP/1.1\r\nHost: unfiled.cn\r\n\r\n")
    running.loop.run_until_complete(running.plane.stop_accepting())
    for sock in clients:
        sock.settimeout(5)
        assert sock.recv(100).startswith(b"HTTP/1.1 302 ")
        sock.close()


def test_a_flood_does_not_hold_up_a_drain(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each connection that is accepted another one comes at once."""
    entry = running.plane._entries[0]
    clients = [running.client()]
    real = entry._accept
    count = 0

    def accept() -> object:
        nonlocal count
        count += 1
        assert count < 1000, "the drain never ends"
        clients.append(running.client())
        clients[-1].send(b"GET / HTTP/1.1\r\nHost: unfiled.cn\r\n\r\n")
        return real()

    monkeypatch.setattr(entry, "_accept", accept)
    clients[0].send(b"GET / HTTP/1.1\r\nHost: unfiled.cn\r\n\r\n")
    running.loop.run_until_complete(running.plane.stop_accepting())
    for sock in clients:
        sock.close()


@pytest.mark.python_plane
@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("broken", ["dial", "decide"])
def test_a_fault_after_admission_counts_the_connection_out(
    running: Running, monkeypatch: pytest.MonkeyPatch, pieces: int, broken: str
) -> None:
    plane = running.plane._plane

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    if broken == "dial":
        monkeypatch.setattr("gate.proxy.tunnel.Tunnel.dial", fail)
    else:
        monkeypatch.setattr(plane.decider, "decide", fail)
    with running.client(1) as sock:
        cut = len(HELLO) // pieces
        sock.send(HELLO[:cut])
        if cut < len(HELLO):
            assert running.until(lambda: plane.admission.open == 1)
            sock.send(HELLO[cut:])
        got = Reader(sock)
        assert running.until(lambda: bool(got().end))
        assert got.data == b""
    assert plane.admission.open == 0
    assert plane.admission.by_address == {}
    assert running.plane.stats()["handler_failures"] == 1


# A switch of protocols before the request has gone (RFC 9110 7.8).

UPGRADE = (
    b"%b / HTTP/1.1\r\nHost: example.cn\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_switch_in_the_middle_of_a_request_body_is_refused(
    running: Running, upstream: socket.socket, method: bytes
) -> None:
    """With a body no switch is offered to the origin."""
    with running.client() as sock:
        sock.send(UPGRADE % method + b"Content-Length: 10\r\n\r\nbegin")
        origin = accepted(running, upstream)
        seen = Reader(origin)
        assert running.until(lambda: seen().data.endswith(b"begin"))
        assert b"upgrade" not in seen.data.lower()
        origin.send(SWITCH)
        got = Reader(sock)
        assert running.until(lambda: bool(got().data))
        assert got.data.startswith(b"HTTP/1.1 502 ")
        assert b"refused: bad_switch" in got.data
        origin.close()


def test_a_switch_before_the_origin_has_read_the_request_loses_none_of_it(
    running: Running, upstream: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sockets between hold less than the request's head, so the gate has the rest in hand."""
    real = OriginEndpoint.connect

    def connect(self: OriginEndpoint) -> socket.SocketType:
        sock = real(self)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return sock

    monkeypatch.setattr(OriginEndpoint, "connect", connect)
    upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    last = b"X-Last: " + b"abc" * 4500
    with running.client() as sock:
        sock.send(UPGRADE % b"GET" + last + b"\r\n\r\n")
        origin = accepted(running, upstream)

        def in_hand() -> bool:
            connection = http_connection(running)
            upload = connection and connection.exchange and connection.exchange.upload
            return bool(upload and upload.flow and upload.flow.blocked)

        assert running.until(in_hand)
        origin.send(SWITCH)
        answer, got = Reader(sock), Reader(origin)
        assert running.until(lambda: bool(answer().data))
        assert answer.data.startswith(b"HTTP/1.1 101 ")
        sock.send(b"<frames>")
        assert running.until(lambda: got().data.endswith(b"<frames>"))
        head, _, frames = got.data.partition(b"\r\n\r\n")
        assert last in head
        assert frames == b"<frames>"
        origin.close()
