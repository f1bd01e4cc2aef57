"""The kernel refuses to watch a descriptor (epoll_ctl(2): ENOMEM, ENOSPC): nothing is left over."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

from gate.proxy.accept import Entry
from gate.proxy.reactor import Handler, Reactor
from gate.proxy.tunnel import Tunnel
from gate.proxy.upstream import OriginEndpoint
from tests.harness.hello import real_hello
from tests.proxy.running import GET, POST, Reader, Running, accepted, push

HELLO = real_hello("example.cn")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: example.cn\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Far(socket.SocketType):
    """A socket that takes its first bytes only once it has been watched."""

    near = False

    def send(self, data: Any, flags: int = 0) -> int:
        if not self.near:
            self.near = True
            raise BlockingIOError
        return super().send(data, flags)


class Refusals:
    """Refuses one watch, the one of that number, of all but listening sockets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refused: int) -> None:
        self.left = refused
        watch, update = Reactor.watch, Reactor.update

        def watching(self_: Reactor, fd: int, events: int, handler: Handler) -> None:
            self.count(handler)
            watch(self_, fd, events, handler)

        def updating(self_: Reactor, fd: int, events: int, handler: Handler) -> None:
            if fd not in self_._handlers:  # changing what is watched needs no memory
                self.count(handler)
            update(self_, fd, events, handler)

        monkeypatch.setattr(Reactor, "watch", watching)
        monkeypatch.setattr(Reactor, "update", updating)

    def count(self, handler: Callable[[int], None]) -> None:
        if not isinstance(getattr(handler, "__self__", None), Entry):
            self.left -= 1
            if self.left == 0:
                raise OSError(errno.ENOSPC, "no room for another watch")


@pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize(
    ("index", "first", "answer"),
    [(0, GET % 1, b""), (0, POST, b""), (0, WEBSOCKET, SWITCH), (1, HELLO, b"")],
    ids=["get", "post", "websocket", "tls"],
)
@pytest.mark.parametrize("refused", [1, 2, 3])
def test_a_refused_watch_ends_its_connection_and_leaves_nothing(
    running: Running,
    upstream: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    refused: int,
    index: int,
    first: bytes,
    answer: bytes,
    pieces: int,
    far: bool,
) -> None:
    plane = running.plane._plane
    connect = OriginEndpoint.connect
    if far:
        monkeypatch.setattr(
            OriginEndpoint, "connect", lambda self: Far(fileno=connect(self).detach())
        )
    refusals = Refusals(monkeypatch, refused)
    origins: list[socket.socket] = []
    turns = 0

    def serve() -> bool:
        """The watch was refused, or the plane has had its turns and needs no further one."""
        nonlocal turns
        with contextlib.suppress(OSError):
            origins.append(upstream.accept()[0])
            origins[-1].send(answer)
        turns += bool(origins)
        return refusals.left <= 0 or turns > 40

    with running.client(index) as sock:
        cut = len(first) // pieces
        push(sock, first[:cut])
        if pieces == 2:
            running.until(lambda: plane.admission.open == 1 or refusals.left <= 0)
            push(sock, first[cut:])
        assert running.until(serve)
        if refusals.left <= 0:
            got = Reader(sock)
            assert running.until(lambda: bool(got().end), 3), "it was left open"
    for origin in origins:
        origin.close()
    assert running.until(lambda: plane.admission.open == 0, 3), "it was never counted out"
    assert plane.admission.by_address == {}
    assert plane.budget.held == 0


def test_a_tunnel_that_a_switch_cannot_open_is_counted_out(
    running: Running, upstream: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = running.plane._plane
    update = Reactor.update

    def updating(self: Reactor, fd: int, events: int, handler: Handler) -> None:
        if isinstance(getattr(handler, "__self__", None), Tunnel):
            raise OSError(errno.ENOMEM, "no memory for another watch")
        update(self, fd, events, handler)

    monkeypatch.setattr(Reactor, "update", updating)
    with running.client() as sock:
        sock.send(WEBSOCKET)
        with accepted(running, upstream) as origin:
            origin.send(SWITCH)
            got = Reader(sock)
            assert running.until(lambda: got().end == "reset")
    assert plane.admission.open == 0
    assert plane.admission.by_address == {}


@pytest.mark.python_plane
def test_accepting_that_cannot_be_watched_is_taken_up_again(
    running: Running, upstream: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Reactor.watch
    tries = 0

    def watching(self: Reactor, fd: int, events: int, handler: Handler) -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise OSError(errno.ENOMEM, "no memory for another watch")
        watch(self, fd, events, handler)

    entry = running.plane._entries[0]
    entry.pause(OSError(errno.EMFILE, "no more"))
    monkeypatch.setattr(Reactor, "watch", watching)
    assert running.until(lambda: tries > 2)
    with running.client() as sock:
        sock.send(GET % 1)
        accepted(running, upstream).close()
