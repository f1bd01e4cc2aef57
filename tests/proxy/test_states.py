"""A revocation, and a drain that is over, in each state of a connection: nothing is left of it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from gate.filings import Change, Status
from gate.proxy.flow import Flow
from gate.proxy.http.states import HttpState
from gate.proxy.reactor import Reactor, Timed
from gate.proxy.tunnel import Tunnel
from gate.proxy.upstream import OriginEndpoint
from tests.harness.hello import real_hello, record
from tests.harness.retry import asked_again
from tests.harness.stage import Blackhole
from tests.proxy.running import (
    GET,
    Reader,
    Running,
    accepted,
    answer,
    blocked,
    heads,
    http_state,
    push,
)

HELLO = real_hello("example.cn")
EARLY = record(b"e" * 100, kind=23)
POST = b"POST / HTTP/1.1\r\nHost: example.cn\r\n%b\r\n\r\n"
LONG = POST % b"Content-Length: 100000000"
CHUNKED = POST % b"Transfer-Encoding: chunked"
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: example.cn\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
PIECE = b"x" * (1 << 16)
PIECES = b"10000\r\n%b\r\n" % PIECE


@dataclass
class Scene:
    """The sockets of one connection: the test's own, with a gate in the middle."""

    running: Running
    upstream: socket.socket
    monkeypatch: pytest.MonkeyPatch
    sockets: list[socket.socket] = field(default_factory=list)
    blackhole: Blackhole | None = None

    def client(self, index: int, first: bytes) -> socket.socket:
        sock = self.running.client(index, receive=4096)
        self.sockets.append(sock)
        sock.send(first)
        assert self.running.until(lambda: self.running.plane._plane.admission.open == 1)
        return sock

    def origin(self) -> socket.socket:
        sock = accepted(self.running, self.upstream)
        self.sockets.append(sock)
        return sock

    def asked(self, request: bytes) -> tuple[socket.socket, socket.socket]:
        """A client whose request's head is with its origin."""
        client = self.client(0, request)
        origin = self.origin()
        assert self.running.until(partial(heads, Reader(origin), 1))
        return client, origin

    def fill(self, sock: socket.socket, piece: bytes, blocked: Callable[[], bool]) -> None:
        """Send until the gate holds bytes that the other side does not take."""
        assert self.running.until(lambda: push(sock, piece) == 0 and blocked())

    def to_nowhere(self) -> None:
        self.blackhole = hole = Blackhole()
        host, port = hole.address.split(":")

        def connect(_: OriginEndpoint) -> socket.SocketType:
            sock = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.connect_ex((host, int(port)))
            return sock

        self.monkeypatch.setattr(OriginEndpoint, "connect", connect)

    def flow(self) -> Flow | None:
        """The flow that is blocked, if one is."""
        for timed in self.running.plane._plane.reactor.scheduled():
            if isinstance(timed, Tunnel):
                flows = [timed._up, timed._down]
            else:
                exchange = getattr(timed, "exchange", None)
                upload = exchange and exchange.upload
                flows = [exchange and exchange.down, upload and upload.flow]
            for flow in flows:
                if flow is not None and flow.blocked:
                    return flow
        return None

    def piped(self) -> bool:
        flow = self.flow()
        return blocked(self.running) or (
            flow is not None and flow._pipe is not None and flow._pipe.inside > 0
        )

    def in_state(self, state: HttpState) -> Callable[[], bool]:
        return lambda: http_state(self.running) is state

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        if self.blackhole is not None:
            self.blackhole.close()


def hello_half_read(scene: Scene) -> None:
    scene.client(1, HELLO[:50])


def head_half_read(scene: Scene) -> None:
    scene.client(0, (GET % 1)[:-2])


def dialling_for_tls(scene: Scene) -> None:
    scene.to_nowhere()
    scene.client(1, HELLO)


def dialling_for_a_request(scene: Scene) -> None:
    scene.to_nowhere()
    scene.client(0, GET % 1 + GET % 2)


def dialling_for_an_upload(scene: Scene) -> None:
    scene.to_nowhere()
    scene.client(0, LONG + PIECE[:1000])


def waiting_for_a_response(scene: Scene) -> None:
    scene.asked(GET % 1 + GET % 2 + GET % 3)


def uploading(scene: Scene) -> None:
    client, _ = scene.asked(LONG)
    scene.fill(client, PIECE, scene.piped)


def uploading_chunks(scene: Scene) -> None:
    client, _ = scene.asked(CHUNKED)
    scene.running.until(lambda: push(client, PIECES) < len(PIECES))
    assert scene.running.until(lambda: scene.flow() is not None or blocked(scene.running))


def response_half_sent(scene: Scene) -> None:
    _, origin = scene.asked(GET % 1)
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    scene.fill(origin, PIECE, scene.piped)


def chunks_half_sent(scene: Scene) -> None:
    _, origin = scene.asked(GET % 1)
    origin.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    scene.running.until(lambda: push(origin, PIECES) < len(PIECES))
    assert scene.running.until(lambda: scene.flow() is not None or blocked(scene.running))


def flushing(scene: Scene) -> None:
    client, origin = scene.asked(GET % 1)
    asked, number = Reader(origin), 1
    while not scene.in_state(HttpState.FLUSH)():
        origin.settimeout(5)
        origin.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + PIECE[:60000])
        origin.settimeout(0)
        client.send(GET % number)
        assert scene.running.until(
            lambda: heads(asked, number) or scene.in_state(HttpState.FLUSH)()  # noqa: B023
        )
        number += 1


def lingering(scene: Scene) -> None:
    _, origin = scene.asked(LONG)
    origin.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
    assert scene.running.until(scene.in_state(HttpState.LINGER))


def kept_alive(scene: Scene) -> None:
    client, origin = scene.asked(GET % 1)
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert scene.running.until(partial(heads, Reader(client), 1))


def websocket_held(scene: Scene) -> None:
    client, origin = scene.asked(WEBSOCKET)
    origin.send(SWITCH)
    assert scene.running.until(partial(heads, Reader(client), 1))
    scene.fill(origin, PIECE, lambda: scene.flow() is not None)


def tunnel_unanswered(scene: Scene) -> None:
    client = scene.client(1, HELLO + EARLY)
    asked = Reader(scene.origin())
    assert scene.running.until(lambda: asked().data == HELLO)
    client.send(EARLY)


def tunnel_that_waits_for_a_second_hello(scene: Scene) -> None:
    client = scene.client(1, HELLO)
    scene.origin().send(asked_again())
    got = Reader(client)
    assert scene.running.until(lambda: got().data == asked_again())
    client.send(HELLO[:50])
    assert scene.running.until(lambda: scene.running.plane._plane.budget.held > 0)


def tunnel_up_held(scene: Scene) -> None:
    client = scene.client(1, HELLO)
    answer(scene.running, client, scene.origin())
    scene.fill(client, PIECE, scene.piped)


def tunnel_down_held(scene: Scene) -> None:
    scene.client(1, HELLO)
    scene.fill(scene.origin(), PIECE, scene.piped)


UNJUDGED = [hello_half_read, head_half_read]
JUDGED = [
    dialling_for_tls,
    dialling_for_a_request,
    dialling_for_an_upload,
    waiting_for_a_response,
    uploading,
    uploading_chunks,
    response_half_sent,
    chunks_half_sent,
    flushing,
    lingering,
    kept_alive,
    websocket_held,
    tunnel_unanswered,
    tunnel_that_waits_for_a_second_hello,
    tunnel_up_held,
    tunnel_down_held,
]


def revoke(running: Running) -> int:
    change = [Change("example.cn", Status.ABSENT)]
    running.replica.apply(change, epoch="e", from_revision=2, to_revision=3)
    running.decider.invalidate(["example.cn"])
    return running.plane.cut(["example.cn"])


def descriptors() -> frozenset[tuple[str, str]]:
    """Return what this process has open. Servers of other tests may close some of it meanwhile."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return frozenset(found)


@pytest.fixture
def scene(running: Running, upstream: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(running, upstream, monkeypatch)


def nothing_left(scene: Scene, before: frozenset[tuple[str, str]]) -> None:
    plane = scene.running.plane._plane
    assert plane.admission.open == 0
    assert plane.admission.by_address == {}
    assert plane.budget.held == 0
    assert list(plane.reactor.scheduled()) == []
    scene.close()
    plane.pipes.close()
    # Its connection to the origin may be kept, until the origin's end of it is seen.
    assert scene.running.until(lambda: descriptors() <= before)


@pytest.mark.parametrize("state", JUDGED)
def test_a_revocation_ends_what_was_judged(scene: Scene, state: Callable[[Scene], None]) -> None:
    before = descriptors()
    state(scene)
    assert revoke(scene.running) == 1
    nothing_left(scene, before)
    assert scene.running.plane.stats()["connections_ended"] == {"revoked": 1}


def test_a_change_that_revokes_nothing_looks_at_no_connection(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting_for_a_response(scene)

    def walk(_: Reactor) -> Iterator[Timed]:
        raise AssertionError("all connections were looked at")

    with monkeypatch.context() as patched:
        patched.setattr(Reactor, "scheduled", walk)
        assert scene.running.plane.cut([]) == 0
    scene.close()


@pytest.mark.parametrize("state", UNJUDGED)
def test_a_revocation_leaves_what_is_not_judged_yet(
    scene: Scene, state: Callable[[Scene], None]
) -> None:
    state(scene)
    assert revoke(scene.running) == 0
    assert scene.running.plane._plane.admission.open == 1
    scene.close()


@pytest.mark.parametrize("state", JUDGED + UNJUDGED)
def test_a_drain_that_is_over_ends_everything(scene: Scene, state: Callable[[Scene], None]) -> None:
    before = descriptors()
    state(scene)
    loop, plane = scene.running.loop, scene.running.plane
    loop.run_until_complete(plane.stop_accepting())
    loop.run_until_complete(plane.drain(lambda: 0.0))
    nothing_left(scene, before)
    (cause,) = plane.stats()["connections_ended"]
    assert cause == ("drained" if state is kept_alive else "aborted")
