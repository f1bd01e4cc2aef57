"""A pool of several endpoints under HTTP: taken in turn, and their connections used again."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gate.proxy import route_file
from gate.proxy.upstream import CountedEndpoint
from tests.harness.planes import Plane
from tests.proxy.running import GET, OK, Reader, Running, accepted, new_loop


@pytest.fixture
def origins() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        for server in servers:
            server.settimeout(0.0)
        yield servers


@pytest.fixture
def running(tmp_path: Path, origins: list[socket.socket], plane: Plane) -> Iterator[Running]:
    loop = new_loop(plane)
    addresses = " ".join(f"127.0.0.1:{server.getsockname()[1]}" for server in origins)
    running = Running(loop, tmp_path, addresses)
    yield running
    running.close()
    loop.close()


def answered(running: Running, client: socket.socket, origin: socket.socket) -> None:
    """One request, from the client to that origin and back."""
    asked, got = Reader(origin), Reader(client)
    assert running.until(lambda: asked().data.endswith(b"\r\n\r\n"), 2), "it went elsewhere"
    origin.send(OK)
    assert running.until(lambda: got().data.endswith(b"ok"))


def test_requests_go_to_the_endpoints_in_turn_on_kept_connections(
    running: Running, origins: list[socket.socket]
) -> None:
    with running.client() as client, ExitStack() as stack:
        kept = []
        for number, server in enumerate(origins):
            client.send(GET % number)
            kept.append(stack.enter_context(accepted(running, server)))
            answered(running, client, kept[-1])
        for number, origin in enumerate(kept):
            client.send(GET % number)
            answered(running, client, origin)
    assert list(running.plane.stats()["upstream_connects"].values()) == [1, 1]


def ends(running: Running, origin: socket.socket) -> bool:
    """Whether the gate closes a connection to an origin."""
    end = Reader(origin)
    return running.until(lambda: bool(end().end))


def endpoints_of_routes() -> int:
    """How many there are in this process, used or not."""
    gc.collect()
    return sum(isinstance(thing, CountedEndpoint) for thing in gc.get_objects())


def test_a_route_that_is_gone_takes_its_pool_and_its_connections_along(
    tmp_path: Path,
    origins: list[socket.socket],
    plane: Plane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(route_file, "_LOOK_SECONDS", 0.01)
    routes = tmp_path / "routes"
    ports = [server.getsockname()[1] for server in origins]

    def lead_to(port: int) -> None:
        new = tmp_path / "new"
        new.write_text(f"example.cn http=127.0.0.1:{port}\n")
        new.replace(routes)

    lead_to(ports[0])
    loop = new_loop(plane)
    before = endpoints_of_routes()
    running = Running(loop, tmp_path, "127.0.0.1:9", routes_file=routes)
    try:
        with running.client() as client, ExitStack() as stack:
            for number in range(6):
                server, other = origins[number % 2], ports[(number + 1) % 2]
                client.send(GET % number)
                kept = stack.enter_context(accepted(running, server))
                answered(running, client, kept)
                lead_to(other)
                # The connection that was kept for the route is closed before its time is up.
                assert ends(running, kept), number
            assert endpoints_of_routes() <= before + 2
    finally:
        running.close()
        loop.close()
