"""HTTP/0.9: one line asks, and what answers has no head; where a gate only monitors, it passes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from gate.settings import Mode
from tests.harness.planes import Plane
from tests.proxy.running import GET, OK, Reader, Running, accepted, new_loop

LINE = b"GET /old?a=b\r\n"
PAGE = b"<title>an answer without a head</title>\n"


@pytest.fixture
def monitoring(running: Running) -> Running:
    """Every listener monitors."""
    running.plane.set_mode(None, Mode.MONITOR)
    return running


def heard(running: Running, sock: socket.socket, data: bytes) -> None:
    """Wait for exactly that."""
    got = Reader(sock)
    assert running.until(lambda: len(got().data) >= len(data) or bool(got.end))
    assert (got.data, got.end) == (data, "")


def ended(running: Running, sock: socket.socket, how: str) -> bytes:
    """Wait for the end; return what came before it."""
    got = Reader(sock)
    assert running.until(lambda: bool(got().end))
    assert got.end == how
    return got.data


@pytest.mark.parametrize("index", [0, 1], ids=["http", "tls"])
def test_the_line_goes_on_as_it_came_and_what_answers_too(
    monitoring: Running, upstream: socket.socket, index: int
) -> None:
    with monitoring.client(index) as client:
        client.send(LINE)
        origin = accepted(monitoring, upstream)
        heard(monitoring, origin, LINE)
        origin.send(PAGE)
        origin.close()
        assert ended(monitoring, client, "fin") == PAGE
    assert monitoring.until(lambda: monitoring.plane.stats()["connections_open"] == 0)


@pytest.mark.parametrize("cut", range(1, len(LINE)))
def test_in_any_segments(monitoring: Running, upstream: socket.socket, cut: int) -> None:
    with monitoring.client() as client:
        client.send(LINE[:cut])
        monitoring.turn()
        client.send(LINE[cut:])
        with accepted(monitoring, upstream) as origin:
            heard(monitoring, origin, LINE)


def test_what_a_client_sends_behind_its_line_goes_the_same_way(
    monitoring: Running, upstream: socket.socket
) -> None:
    """As it would without a gate; that it ends its side, too."""
    with monitoring.client() as client:
        client.send(LINE + b"Host: example.cn\r\n")
        with accepted(monitoring, upstream) as origin:
            heard(monitoring, origin, LINE + b"Host: example.cn\r\n")
            client.send(b"\r\n")
            heard(monitoring, origin, b"\r\n")
            client.shutdown(socket.SHUT_WR)
            assert ended(monitoring, origin, "fin") == b""
            origin.send(PAGE)
        assert ended(monitoring, client, "fin") == PAGE


def test_a_client_that_has_ended_its_side_already_gets_its_answer(
    monitoring: Running, upstream: socket.socket
) -> None:
    with monitoring.client() as client:
        client.send(LINE)
        client.shutdown(socket.SHUT_WR)
        with accepted(monitoring, upstream) as origin:
            assert ended(monitoring, origin, "fin") == LINE
            origin.send(PAGE)
        assert ended(monitoring, client, "fin") == PAGE


def test_behind_another_request_on_the_same_connection(
    monitoring: Running, upstream: socket.socket
) -> None:
    with monitoring.client() as client:
        client.send(GET % 1)
        with accepted(monitoring, upstream) as origin:
            got = Reader(origin)
            assert monitoring.until(lambda: b"\r\n\r\n" in got().data)
            origin.send(OK)
            answer = Reader(client)
            assert monitoring.until(lambda: answer().data.endswith(b"ok"))
            client.send(LINE)
            with accepted(monitoring, upstream) as second:
                heard(monitoring, second, LINE)
                second.send(PAGE)
        assert ended(monitoring, client, "fin") == PAGE
    assert monitoring.until(lambda: monitoring.plane.stats()["connections_open"] == 0)


@pytest.fixture
def new_running(tmp_path: Path, plane: Plane) -> Iterator[Callable[..., Running]]:
    """Make a plane that monitors, for an upstream at an address."""
    loop = new_loop(plane)
    made: list[Running] = []

    def make(address: tuple[str, int], send_proxy: Literal["off", "v1"] = "off") -> Running:
        host, port = address
        running = Running(loop, tmp_path, f"{host}:{port}", send_proxy=send_proxy)
        running.plane.set_mode(None, Mode.MONITOR)
        made.append(running)
        return running

    yield make
    for running in made:
        running.close()
    loop.close()


def test_an_origin_that_wants_to_know_the_client_is_told(
    new_running: Callable[..., Running], upstream: socket.socket
) -> None:
    running = new_running(upstream.getsockname(), "v1")
    with running.client() as client:
        client.send(LINE)
        ports = client.getsockname()[1], client.getpeername()[1]
        with accepted(running, upstream) as origin:
            heard(running, origin, b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % ports + LINE)


def test_an_origin_that_is_not_there_ends_it(new_running: Callable[..., Running]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        running = new_running(bound.getsockname())
        with running.client() as client:
            client.send(LINE)
            assert ended(running, client, "reset") == b""
        assert running.plane.stats()["connections_open"] == 0


def test_a_switch_to_enforce_ends_it(monitoring: Running, upstream: socket.socket) -> None:
    with monitoring.client() as client:
        client.send(LINE)
        with accepted(monitoring, upstream) as origin:
            heard(monitoring, origin, LINE)
            monitoring.plane.set_mode("http", Mode.ENFORCE)
            assert ended(monitoring, origin, "reset") == b""
            assert ended(monitoring, client, "reset") == b""


def test_where_the_gate_enforces_nothing_of_it_reaches_an_origin(
    running: Running, upstream: socket.socket
) -> None:
    with running.client() as client:
        client.send(LINE)
        assert ended(running, client, "fin") == b"", "it has no way to tell a redirect"
    with pytest.raises(BlockingIOError):
        upstream.accept()
