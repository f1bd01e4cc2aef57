"""What clients, upstreams and our own faults may do at the worst moment, and what must survive."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from gate.policy import Verdict
from gate.proxy.first_bytes import Arrival
from gate.proxy.flow import Flow, Progress
from gate.proxy.http.states import HttpState
from gate.proxy.tunnel import _TURNS, Tunnel
from tests.harness.hello import real_hello
from tests.harness.planes import Plane
from tests.harness.stage import Blackhole
from tests.proxy.running import (
    GET,
    OK,
    POST,
    Reader,
    Running,
    accepted,
    answer,
    heads,
    http_connection,
    http_state,
    new_loop,
    push,
)


@pytest.mark.python_plane
@pytest.mark.parametrize(
    ("index", "first"), [(0, GET % 1), (0, POST), (1, real_hello("example.cn"))]
)
def test_a_failed_decision_does_not_end_accepting(
    running: Running,
    upstream: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    index: int,
    first: bytes,
) -> None:
    plane = running.plane._plane
    real = plane.decider.decide
    faults = [RuntimeError("the replica cannot be read")]

    def decide(host: bytes) -> Verdict:
        if faults:
            raise faults.pop()
        return real(host)

    monkeypatch.setattr(plane.decider, "decide", decide)
    with running.client(index) as sock:
        sock.send(first)
        got = Reader(sock)
        assert running.until(lambda: bool(got().end))
    assert plane.admission.open == 0
    with running.client(index) as sock:
        sock.send(first)
        accepted(running, upstream).close()


def flood(running: Running, sock: socket.socket) -> int:
    """Push for a second; the most that the connection held."""
    junk = b"x" * (1 << 16)
    most = 0
    ends = time.monotonic() + 1.0

    def step() -> bool:
        nonlocal most
        push(sock, junk)
        connection = http_connection(running)
        if connection is not None:
            most = max(most, len(connection.client.buffer))
        return time.monotonic() > ends

    assert running.until(step)
    return most


def test_bytes_ahead_are_bounded_while_dialling(tmp_path: Path, plane: Plane) -> None:
    loop, blackhole = new_loop(plane), Blackhole()
    running = Running(loop, tmp_path, blackhole.address)
    with running.client() as sock:
        sock.send(GET % 1)
        assert running.until(lambda: running.plane.stats()["connections_open"] == 1)
        assert flood(running, sock) < 1 << 18
    running.close()
    loop.close()
    blackhole.close()


def test_bytes_ahead_are_bounded_while_a_response_waits(
    running: Running, upstream: socket.socket
) -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"y" * 60000
    with running.client(receive=4096) as sock:
        sock.send(GET % 0)
        origin = accepted(running, upstream)
        asked = Reader(origin)
        sent = 1
        for _ in range(1000):
            assert running.until(partial(heads, asked, sent))
            origin.setblocking(True)
            origin.sendall(body)
            running.turn()
            origin.settimeout(0.0)
            if http_state(running) is HttpState.FLUSH:
                break
            sock.send(GET % sent)
            sent += 1
        assert http_state(running) is HttpState.FLUSH
        assert flood(running, sock) < 1 << 18
        origin.close()


def test_a_client_that_resets_while_uploading_resets_the_upstream(
    running: Running, upstream: socket.socket
) -> None:
    sock = running.client()
    sock.send(b"POST / HTTP/1.1\r\nHost: example.cn\r\nContent-Length: 1000000\r\n\r\nbegin")
    origin = accepted(running, upstream)
    got = Reader(origin)
    assert running.until(lambda: b"begin" in got().data)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert running.until(lambda: got().end == "reset", 3), "the origin still waits for the body"
    assert running.plane.stats()["connections_open"] == 0
    origin.close()


def test_pipelined_requests_of_a_half_closed_client_are_all_answered(
    running: Running, upstream: socket.socket
) -> None:
    size = 50_000
    body = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"y" * size
    count = 200
    with running.client() as sock:
        for number in range(count):
            sock.send(GET % number)
        sock.shutdown(socket.SHUT_WR)
        origin = accepted(running, upstream)
        origin.settimeout(10)

        def serve() -> None:
            data = b""
            with contextlib.suppress(OSError):
                while True:
                    while b"\r\n\r\n" in data:
                        data = data.partition(b"\r\n\r\n")[2]
                        origin.sendall(body)
                    more = origin.recv(65536)
                    if not more:
                        return
                    data += more

        thread = threading.Thread(target=serve)
        thread.start()

        def flushing() -> bool:
            connection = http_connection(running)
            return connection is not None and connection.state is HttpState.FLUSH

        assert running.until(flushing)  # the client does not read yet
        got = Reader(sock)
        running.until(lambda: bool(got().end), 15)
        origin.shutdown(socket.SHUT_RDWR)  # the gate would keep it
        thread.join(10)
        origin.close()
        assert (got.data.count(b"200 OK"), got.end) == (count, "fin")


@pytest.mark.python_plane
def test_an_end_that_comes_with_the_last_turn_is_passed_on(
    running: Running, upstream: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello = real_hello("example.cn")
    with running.client(1) as sock:
        sock.send(hello)
        origin = accepted(running, upstream)
        got = Reader(origin)
        assert running.until(lambda: len(got().data) >= len(hello))
        answer(running, sock, origin)
        tunnel = next(t for t in running.plane._plane.reactor.scheduled() if isinstance(t, Tunnel))
        real = Flow.pump
        calls = 0

        def pump(self: Flow, buffer: memoryview) -> Progress:
            """As if the data took all turns but one."""
            nonlocal calls
            if self is tunnel._up:
                calls += 1
                if calls < _TURNS:
                    return Progress.MORE
            return real(self, buffer)

        monkeypatch.setattr(Flow, "pump", pump)
        sock.send(b"last")
        sock.shutdown(socket.SHUT_WR)
        assert running.until(lambda: got().end == "fin", 3), "the half-close was lost"
        origin.close()


def test_a_failed_deadline_ends_its_connection(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(self: Arrival, now: float) -> float:
        raise RuntimeError("broken")

    monkeypatch.setattr(Arrival, "check", check)
    plane = running.plane._plane
    with running.client(1) as sock:
        sock.send(b"\x16")
        assert running.until(lambda: plane.admission.open == 1)
        timed = next(iter(plane.reactor.scheduled()))
        plane.reactor.unschedule(timed)
        plane.reactor.schedule(timed, plane.reactor.now)
        assert running.until(lambda: plane.admission.open == 0, 2)


def test_bytes_that_came_before_the_request_are_no_response_to_it(
    running: Running, upstream: socket.socket
) -> None:
    """The upstream's stray bytes and the next request are seen in one batch of events."""
    with running.client() as first:
        first.send(GET % 1)
        origin = accepted(running, upstream)
        asked, got = Reader(origin), Reader(first)
        assert running.until(lambda: asked().data.endswith(b"\r\n\r\n"))
        origin.send(OK)
        assert running.until(lambda: got().data.endswith(b"ok"))
        # The client's event comes first, as it is the first to become ready.
        first.send(GET % 2)
        origin.send(OK.replace(b"ok", b"no"))
        again = []

        def second() -> bool:
            with contextlib.suppress(BlockingIOError):
                again.append(upstream.accept()[0])
            for sock in again:
                sock.setblocking(True)
                sock.recv(1000)
                sock.send(OK.replace(b"ok", b"OK"))
            return bool(again) or got().data.endswith(b"no")

        assert running.until(second)
        assert running.until(lambda: len(got().data) >= 2 * len(OK))
        assert got.data.endswith(b"OK")
        for sock in (origin, *again):
            sock.close()
