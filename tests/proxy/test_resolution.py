"""Names of origins: resolved beside the data path, all addresses used, failures lived with."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gate.proxy.reactor import new_event_loop
from gate.proxy.resolution import look_up, unresolved
from gate.proxy.upstream import Origin, OriginEndpoint, SocketAddress
from gate.settings import Address, Settings
from tests.harness.hello import real_hello
from tests.proxy.running import GET, OK, Reader, Running, accepted

NAME = "origin.example"
ONE, OTHER = "127.0.0.1", "127.0.0.2"


class Names:
    """A resolver: what a test says, as often as it is asked."""

    def __init__(self, *found: str) -> None:
        self.found = found
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self, host: str) -> list[SocketAddress]:
        self.answers.wait()
        assert host == NAME
        self.asked += 1
        if not self.found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(int(socket.AF_INET), (ip, 0)) for ip in self.found]


@pytest.fixture
def origins() -> Iterator[list[socket.socket]]:
    """Two origins that listen on one port, each on an address of its own."""
    with ExitStack() as stack:
        one = stack.enter_context(socket.create_server((ONE, 0)))
        other = stack.enter_context(socket.create_server((OTHER, one.getsockname()[1])))
        for server in (one, other):
            server.settimeout(0.0)
        yield [one, other]


@pytest.fixture
def start(tmp_path: Path, origins: list[socket.socket]) -> Iterator[Callable[..., Running]]:
    started = []

    def begin(names: Names, **settings: Any) -> Running:
        loop = new_event_loop()
        upstream = f"{NAME}:{origins[0].getsockname()[1]}"
        running = Running(loop, tmp_path, upstream, lookup=names, **settings)
        started.append((running, loop, names))
        if names.answers.is_set():
            loop.run_until_complete(running.plane.resolve())
        return running

    yield begin
    for running, loop, names in started:
        names.answers.set()
        running.close()
        loop.close()


def served_by(running: Running, server: socket.socket, number: int = 1) -> None:
    """A request on a new connection goes to that origin, and its answer comes back."""
    with running.client() as client, ExitStack() as stack:
        client.send(GET % number)
        origin = stack.enter_context(accepted(running, server))
        asked, got = Reader(origin), Reader(client)
        assert running.until(lambda: asked().data.endswith(b"\r\n\r\n"))
        origin.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert running.until(lambda: got().data.endswith(b"ok"))


def refused(running: Running, index: int = 0) -> bytes:
    with running.client(index) as client:
        client.send((GET % 1, real_hello("example.cn"))[index])
        got = Reader(client)
        assert running.until(lambda: bool(got().end))
    return got.data


def figure(running: Running, name: str) -> int:
    values = running.plane.stats()[name].values()
    return int(sum(values))


def test_all_addresses_of_a_name_are_used(
    start: Callable[..., Running], origins: list[socket.socket]
) -> None:
    running = start(Names(ONE, OTHER))
    for server in (*origins, *origins):
        served_by(running, server)
    assert figure(running, "upstream_connects") == 4


def test_an_address_that_refuses_rests_and_the_other_serves(
    start: Callable[..., Running], origins: list[socket.socket]
) -> None:
    running = start(Names(ONE, OTHER))
    origins[0].close()
    for _ in range(3):
        served_by(running, origins[1])
    assert figure(running, "upstream_failures") == 1
    assert figure(running, "upstream_resting") == 0, "the origin as a whole serves"


@pytest.mark.parametrize("index", [0, 1])
def test_a_name_that_does_not_resolve_rests_like_a_failed_origin_until_it_does(
    start: Callable[..., Running], origins: list[socket.socket], index: int
) -> None:
    names = Names()
    running = start(names, rest_seconds=0.1)
    answer = refused(running, index)
    assert answer[:13] == (b"HTTP/1.1 502 ", b"")[index]
    assert figure(running, "upstream_resting") == 1
    names.found = (ONE,)
    assert running.until(lambda: figure(running, "upstream_resting") == 0)
    served_by(running, origins[0])
    assert figure(running, "upstream_failures") == 1, "what was counted stays counted"


def test_a_change_of_addresses_is_followed(
    start: Callable[..., Running], origins: list[socket.socket]
) -> None:
    names = Names(ONE)
    running = start(names, resolve_seconds=0.1)
    served_by(running, origins[0])
    names.found = (OTHER,)
    asked = names.asked
    assert running.until(lambda: names.asked > asked + 1)
    for _ in range(3):
        served_by(running, origins[1])
    assert figure(running, "upstream_connects") == 4


def test_a_name_that_stops_resolving_keeps_what_it_had(
    start: Callable[..., Running],
    origins: list[socket.socket],
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = Names(ONE)
    running = start(names, resolve_seconds=0.1, rest_seconds=0.1)
    names.found = ()
    asked = names.asked
    with caplog.at_level(logging.WARNING):
        assert running.until(lambda: names.asked > asked + 2)
    served_by(running, origins[0])
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
    ] == [
        f"origin {NAME} does not resolve (Name or service not known): the addresses that it had "
        "stay in use"
    ], "once, not each time"


def test_a_resolver_that_hangs_holds_up_neither_traffic_nor_the_end(
    start: Callable[..., Running], origins: list[socket.socket]
) -> None:
    names = Names(ONE)
    names.answers.clear()
    running = start(names)
    begun = running.loop.create_task(running.plane.resolve())
    assert refused(running).startswith(b"HTTP/1.1 502 ")
    assert not begun.done()
    names.answers.set()
    running.loop.run_until_complete(asyncio.wait_for(begun, 5))
    served_by(running, origins[0])


def test_an_address_needs_no_resolver(tmp_path: Path, upstream: socket.socket) -> None:
    def lookup(host: str) -> list[SocketAddress]:
        raise AssertionError("it was asked")

    loop = new_event_loop()
    running = Running(loop, tmp_path, f"{ONE}:{upstream.getsockname()[1]}", lookup=lookup)
    loop.run_until_complete(running.plane.resolve())
    served_by(running, upstream)
    running.close()
    loop.close()


# What is remembered of an origin.

V4 = int(socket.AF_INET)


def at(*ips: str) -> list[SocketAddress]:
    return [(V4, (ip, 80)) for ip in ips]


def test_an_address_that_stays_keeps_its_health() -> None:
    origin = Origin(Address(host=NAME, port=80))
    assert origin.stands_for(at("10.0.0.1", "10.0.0.2"))
    first, second = origin.endpoints
    second.failed(100.0, 5.0)
    assert origin.stands_for(at("10.0.0.2", "10.0.0.3"))
    assert origin.endpoints[0] is second
    assert first not in origin.endpoints
    assert not origin.stands_for(at("10.0.0.3", "10.0.0.2")), "another order is no news"
    assert not origin.stands_for([]), "nor is silence"
    assert origin.figures(101.0)["upstream_failures"] == 1


def test_an_origin_rests_when_all_of_it_does() -> None:
    origin = Origin(Address(host=NAME, port=80))
    assert origin.figures(0.0)["upstream_resting"] == 1
    origin.stands_for(at("10.0.0.1", "10.0.0.2"))
    assert origin.figures(0.0)["upstream_resting"] == 0
    for endpoint in origin.endpoints:
        endpoint.failed(0.0, 5.0)
    assert origin.figures(1.0)["upstream_resting"] == 1


def test_what_does_not_resolve_cannot_be_connected_to() -> None:
    with pytest.raises(OSError, match="does not resolve") as caught:
        OriginEndpoint(Address(host=NAME, port=80)).connect()
    assert caught.value.errno == errno.EHOSTUNREACH


# The system's resolver.


def test_the_systems_resolver_is_asked() -> None:
    found = look_up("localhost")
    assert (V4, ("127.0.0.1", 0)) in found
    assert len(found) == len(set(found))


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "nowhere.invalid"])
def test_what_is_no_name_is_a_failure_and_no_crash(host: str, tmp_path: Path) -> None:
    with pytest.raises((OSError, UnicodeError)):
        look_up(host)
    loop = new_event_loop()
    running = Running(loop, tmp_path, f"{host}:80")
    loop.run_until_complete(running.plane.resolve())
    assert refused(running).startswith(b"HTTP/1.1 502 ")
    running.close()
    loop.close()


@pytest.mark.parametrize(
    ("unreachable", "kept"), [(socket.AF_INET6, ["10.0.0.1"]), (socket.AF_INET, ["fd00::1"])]
)
def test_a_family_without_a_route_is_left_out(
    monkeypatch: pytest.MonkeyPatch, unreachable: int, kept: list[str]
) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::1", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0)),
        ]

    class Routed(socket.socket):
        def connect(self, address: Any) -> None:
            if self.family == unreachable:
                raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "socket", Routed)
    assert [address[0] for _, address in look_up(NAME)] == kept


# Before a start.


def settings(*addresses: str) -> Settings:
    return Settings.model_validate({"upstreams": {"default": {"http": addresses}}})


def test_names_that_do_not_resolve_are_named_before_a_start() -> None:
    def lookup(host: str) -> list[SocketAddress]:
        if host == "good.example":
            return at("10.0.0.1")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    (text,) = unresolved(settings("good.example:80", "bad.example:80", "10.0.0.1:80"), 5.0, lookup)
    assert text.startswith(
        "upstreams.default.http: bad.example does not resolve (Name or service not known): "
    )


def test_a_resolver_that_is_silent_is_waited_for_no_longer_than_said() -> None:
    silent = threading.Event()

    def lookup(host: str) -> list[SocketAddress]:
        silent.wait()
        return []

    (text,) = unresolved(settings("slow.example:80"), 0.05, lookup)
    silent.set()
    assert "slow.example does not resolve (no answer within 0.05 s)" in text
