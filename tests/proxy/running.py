"""A data plane inside the test's process, and the plain sockets around it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

from gate.policy import Decider
from gate.proxy.dataplane import DataPlane
from gate.proxy.http import HttpConnection
from gate.proxy.reactor import ReactorLoop
from gate.replica import Change, Replica, Status
from gate.settings import Address, Limits, Listener, Settings, UpstreamPool, Upstreams

GET = b"GET /%d HTTP/1.1\r\nHost: example.cn\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: example.cn\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Running:
    """A data plane in this process; the upstream is a plain listening socket of the test's."""

    def __init__(self, loop: ReactorLoop, tmp_path: Path, upstream: str, **limits: float) -> None:
        host, port = upstream.split(":")
        address = (Address(host=host, port=int(port)),)
        loopback = Address(host="127.0.0.1", port=0)
        settings = Settings(
            listeners=(
                Listener(name="http", kind="http", address=loopback),
                Listener(name="tls", kind="tls", address=loopback),
            ),
            upstreams=Upstreams(
                default=UpstreamPool(http=address, tls=address), connect_timeout=30
            ),
            limits=Limits.model_validate(limits),
        )
        self.loop = loop
        self.replica = Replica.open(tmp_path / "replica", writable=True)
        self.replica.load((), epoch="e", revision=1)
        self.replica.apply(
            [Change("example.cn", Status.FILED)], epoch="e", from_revision=1, to_revision=2
        )
        self.decider = Decider(self.replica)
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in settings.listeners]
        self.plane = DataPlane(
            settings,
            self.decider,
            list(zip(settings.listeners, self.sockets, strict=True)),
            loop=loop,
        )
        self.plane.start()

    def client(self, index: int = 0, *, receive: int = 0) -> socket.socket:
        sock = socket.socket()
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.connect(self.sockets[index].getsockname())
        sock.settimeout(0.0)
        return sock

    def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> bool:
        """Run the plane until `condition`; False if it does not come true in time."""
        ends = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > ends:
                return False
            self.loop.run_until_complete(asyncio.sleep(0.001))
        return True

    def close(self) -> None:
        self.plane.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.replica.close()
        for sock in self.sockets:
            sock.close()


def accepted(running: Running, upstream: socket.socket) -> socket.socket:
    got: list[socket.socket] = []

    def take() -> bool:
        with contextlib.suppress(BlockingIOError):
            got.append(upstream.accept()[0])
        return bool(got)

    assert running.until(take)
    got[0].settimeout(0.0)
    return got[0]


class Reader:
    """Collects what comes on a socket, and how it ends: `fin` or `reset`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.data, self.end = sock, b"", ""

    def __call__(self) -> Reader:
        with contextlib.suppress(BlockingIOError):
            try:
                more = self.sock.recv(1 << 20)
            except ConnectionResetError:
                self.end = "reset"
            else:
                self.data += more
                self.end = self.end or ("" if more else "fin")
        return self


def heads(reader: Reader, count: int) -> bool:
    """Whether the reader has got that many heads."""
    return reader().data.count(b"\r\n\r\n") >= count


def push(sock: socket.socket, data: bytes) -> int:
    """Send what goes at once."""
    try:
        return sock.send(data)
    except OSError:
        return 0


def http_connection(running: Running) -> HttpConnection | None:
    found = [t for t in running.plane._plane.reactor.scheduled() if isinstance(t, HttpConnection)]
    return found[0] if found else None
