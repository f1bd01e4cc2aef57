"""Corners of one exchange: what either side may do in a state in which nobody expects it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gate.proxy.http.states import HttpState
from tests.harness.planes import Plane
from tests.proxy.running import (
    GET,
    OK,
    POST,
    Reader,
    Running,
    accepted,
    blocked,
    heads,
    http_connection,
    http_state,
    new_loop,
    push,
)

FULL_READ = 1 << 16
"""Bytes that the gate reads of a response at once."""
SPLIT = OK.replace(b"ok", b"no")
"""A second response, behind the first, that nobody has asked for."""


def asked(running: Running, origin: socket.socket, count: int = 1) -> Reader:
    got = Reader(origin)
    assert running.until(lambda: heads(got, count))
    return got


@pytest.mark.parametrize("status", [600, 999])
def test_a_status_above_599_is_passed_on_and_counts_as_5xx(
    running: Running, upstream: socket.socket, status: int
) -> None:
    with running.client() as sock:
        sock.send(GET % 1)
        origin = accepted(running, upstream)
        asked(running, origin)
        origin.send(OK.replace(b"200 OK", b"%d Odd" % status))
        got = Reader(sock)
        assert running.until(lambda: got().data.endswith(b"ok"))
        assert got.data.startswith(b"HTTP/1.1 %d Odd\r\n" % status)
        origin.close()
    assert running.plane.stats()["responses"]["5xx"] == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 900000000", b"Transfer-Encoding: chunked"])
def test_a_client_that_resets_while_the_origin_takes_no_more_of_the_body_ends_at_once(
    running: Running, upstream: socket.socket, framing: bytes
) -> None:
    sock = running.client()
    sock.send(b"POST / HTTP/1.1\r\nHost: example.cn\r\n" + framing + b"\r\n\r\n")
    origin = accepted(running, upstream)
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"

    def full() -> bool:
        nonlocal chunk
        chunk = chunk[push(sock, chunk) :] or chunk
        connection = http_connection(running)
        exchange = connection.exchange if connection is not None else None
        flow = exchange.upload.flow if exchange is not None and exchange.upload else None
        waits = flow.blocked if flow is not None else blocked(running)
        return waits and push(sock, chunk[:1]) == 0

    if framing.startswith(b"Content-Length"):
        chunk = b"x" * len(chunk)
    assert running.until(full, 10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert running.until(lambda: running.plane.stats()["connections_open"] == 0, 3)
    origin.close()


def test_a_request_that_comes_as_its_client_is_found_slow_waits_for_its_turn(
    running: Running, upstream: socket.socket
) -> None:
    """The response that the client does not take and its next request are in one batch."""
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"y" * 60_000
    with running.client(receive=4096) as sock:
        sock.send(GET % 0)
        origin = accepted(running, upstream)
        requests = Reader(origin)
        sent = 1
        while True:
            assert running.until(partial(heads, requests, sent))
            origin.setblocking(True)
            origin.sendall(body)  # the gate reads it, and then the request that comes next
            origin.settimeout(0.0)
            sock.send(GET % sent)
            sent += 1
            running.turn()
            state = http_state(running)
            assert state is not None, "the client was reset"
            if state is HttpState.FLUSH:
                break
        got = Reader(sock)
        assert running.until(lambda: heads(got, sent - 1) and heads(requests, sent), 10)
        origin.close()


EXACT = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
FILLER = b"y" * (FULL_READ - len(EXACT % FULL_READ))
CHUNK = b"%x\r\n" % FULL_READ + b"y" * FULL_READ + b"\r\n"


@pytest.mark.parametrize(
    "response",
    [
        EXACT % 200_000 + b"y" * 200_000,
        EXACT % len(FILLER) + FILLER,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + 4 * CHUNK + b"0\r\n\r\n",
    ],
    ids=["relayed", "a-full-read", "chunked"],
)
def test_bytes_behind_a_response_do_not_answer_the_request_that_waits(
    running: Running, upstream: socket.socket, response: bytes
) -> None:
    with running.client() as sock:
        sock.send(GET % 1 + GET % 2)
        origin = accepted(running, upstream)
        asked(running, origin)
        origin.settimeout(10)
        thread = threading.Thread(target=origin.sendall, args=(response + SPLIT,))
        thread.start()
        got = Reader(sock)
        again = accepted(running, upstream)
        thread.join(10)
        asked(running, again)
        again.send(OK)
        assert running.until(lambda: got().data.endswith(b"ok"))
        assert b"no" not in got.data
        origin.close()
        again.close()


def test_a_cut_response_without_chunks_is_a_reset_to_an_http_1_0_client(
    running: Running, upstream: socket.socket
) -> None:
    with running.client() as sock:
        sock.send(b"GET / HTTP/1.0\r\nHost: example.cn\r\n\r\n")
        origin = accepted(running, upstream)
        asked(running, origin)
        origin.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        got = Reader(sock)
        assert running.until(lambda: got().data.endswith(b"hello"))
        origin.close()
        assert running.until(lambda: bool(got().end))
    assert got.end == "reset"


class Counting:
    """A response parser that counts the bytes which it is asked to look at."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self.bytes = 0

    def parse(self, data: bytes, start: int, method: bytes, searched: int = 0) -> Any:
        self.bytes += len(data) - searched
        return self._parser.parse(data, start, method, searched)


@pytest.mark.python_plane
def test_a_response_head_in_small_pieces_is_read_once(
    running: Running, upstream: socket.socket
) -> None:
    http = running.plane._http
    counting = Counting(http.responses)
    http.responses = counting  # type: ignore[assignment]
    head = OK.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 400 + b"\r\n\r\n")
    with running.client() as sock:
        sock.send(GET % 1)
        origin = accepted(running, upstream)
        asked(running, origin)
        for at in range(0, len(head), 10):
            origin.send(head[at : at + 10])
            wanted = min(at + 10, len(head))
            assert running.until(lambda wanted=wanted: counting.bytes >= wanted)  # type: ignore[misc]
        got = Reader(sock)
        assert running.until(lambda: got().data.endswith(b"ok"))
        origin.close()
    assert counting.bytes == len(head)


@pytest.fixture
def hasty(tmp_path: Path, upstream: socket.socket, plane: Plane) -> Iterator[Running]:
    """A plane that waits a second for a head, and long for a body."""
    loop = new_loop(plane)
    running = Running(loop, tmp_path, f"127.0.0.1:{upstream.getsockname()[1]}", head_seconds=1.0)
    yield running
    running.close()
    loop.close()


def test_an_empty_line_behind_a_body_is_no_beginning_of_a_request(
    hasty: Running, upstream: socket.socket
) -> None:
    """Old clients send one; the time for a request's head does not run out for it."""
    with hasty.client() as sock:
        sock.send(POST + b"\r\n")
        origin = accepted(hasty, upstream)
        asked(hasty, origin)
        origin.send(OK)
        got = Reader(sock)
        assert hasty.until(lambda: bool(got().end))
        assert got.data.startswith(b"HTTP/1.1 200 OK\r\n")
        assert got.data.endswith(b"\r\n\r\nok")
        origin.close()
    assert hasty.plane.stats()["decisions"]["http"]["http"]["block"] == {}
    assert hasty.plane.stats()["connections_ended"] == {"idle": 1}


def test_a_waiting_request_whose_body_can_never_be_complete_ends_at_once(
    running: Running, upstream: socket.socket
) -> None:
    with running.client() as sock:
        sock.send(GET % 1 + POST[:-1])
        sock.shutdown(socket.SHUT_WR)
        origin = accepted(running, upstream)
        asked(running, origin)
        running.until(lambda: (c := http_connection(running)) is not None and c.client.ended)
        origin.send(OK)
        got = Reader(sock)
        assert running.until(lambda: bool(got().end), 3)
        assert got.data.count(b"HTTP/1.1 ") <= 1
        origin.close()
    assert running.plane.stats()["connections_ended"] == {"truncated": 1}


@pytest.mark.parametrize(("count", "status"), [(100, b"200"), (101, b"502")])
def test_an_origin_gets_no_more_than_a_hundred_interim_responses_for_one_request(
    running: Running, upstream: socket.socket, count: int, status: bytes
) -> None:
    with running.client() as sock:
        for number in (1, 2):  # each request has a hundred of its own
            sock.send(GET % number)
            if number == 1:
                origin = accepted(running, upstream)
                got, seen = Reader(sock), Reader(origin)
            assert running.until(partial(heads, seen, number))
            interims = count if number == 2 else 100
            origin.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * interims + OK)
            assert running.until(lambda: got().data.count(b"\r\n\r\n") >= 101)  # noqa: B023
            if number == 1:
                got = Reader(sock)
        origin.close()
    assert got.data.count(b"HTTP/1.1 103 ") == 100
    assert got.data[got.data.rindex(b"HTTP/1.1 ") :].split()[1] == status
