"""A data plane inside the test's process, and the plain sockets around it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from gate.filings import Change, Status
from gate.policy import Decider
from gate.proxy.dataplane import DataPlane
from gate.proxy.http import HttpConnection
from gate.proxy.http.states import HttpState
from gate.proxy.native import HTTP_CLIENTS, new_engine
from gate.proxy.reactor import ReactorLoop, new_event_loop
from gate.proxy.resolution import Lookup, look_up
from gate.replica import Replica
from gate.settings import Address, Limits, Listener, Process, Settings, UpstreamPool, Upstreams
from tests.harness.hello import record
from tests.harness.planes import NATIVE, Plane
from tests.harness.waiting import patience

GET = b"GET /%d HTTP/1.1\r\nHost: example.cn\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: example.cn\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def new_loop(plane: Plane) -> ReactorLoop:
    """A loop for a data plane of that kind."""
    process = Process(native="auto" if plane is NATIVE else "off")
    return new_event_loop(new_engine(process))


class Running:
    """A data plane in this process; the upstream is a plain listening socket of the test's.

    `upstream` is HOST:PORT, or several with spaces between.
    """

    def __init__(
        self,
        loop: ReactorLoop,
        tmp_path: Path,
        upstream: str,
        *,
        cache: int = 100_000,
        send_proxy: Literal["off", "v1", "v2"] = "off",
        trusted: str = "",
        host: str = "127.0.0.1",
        lookup: Lookup = look_up,
        resolve_seconds: float = 30.0,
        rest_seconds: float = 5.0,
        routes_file: Path | None = None,
        epoch: str = "e",
        **limits: float,
    ) -> None:
        """`trusted` is a network that sends PROXY headers; on `host` is listened.

        `epoch` is the replica's.
        """
        ends = [text.split(":") for text in upstream.split()]
        address = tuple(Address(host=host, port=int(port)) for host, port in ends)
        loopback = Address(host="127.0.0.1", port=0)
        networks = (trusted,) if trusted else ()
        settings = Settings(
            listeners=(
                Listener(name="http", kind="http", address=loopback, proxy_protocol_from=networks),
                Listener(name="tls", kind="tls", address=loopback, proxy_protocol_from=networks),
            ),
            upstreams=Upstreams(
                default=UpstreamPool(http=address, tls=address, send_proxy=send_proxy),
                connect_timeout=30,
                resolve_seconds=resolve_seconds,
                rest_seconds=rest_seconds,
                routes_file=routes_file,
            ),
            limits=Limits.model_validate(limits),
        )
        self.loop = loop
        self.settings = settings
        self.replica = Replica.open(tmp_path / "replica", writable=True)
        self.replica.load((), epoch=epoch, revision=1)
        self.replica.apply(
            [Change("example.cn", Status.FILED)], epoch=epoch, from_revision=1, to_revision=2
        )
        self.decider = Decider(self.replica, size=cache)
        self.sockets = [listening(host) for _ in settings.listeners]
        self.plane = DataPlane(
            settings,
            self.decider,
            list(zip(settings.listeners, self.sockets, strict=True)),
            loop=loop,
            lookup=lookup,
        )
        self.plane.start()

    def client(self, index: int = 0, *, receive: int = 0) -> socket.socket:
        sock = socket.socket()
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.connect(("127.0.0.1", self.sockets[index].getsockname()[1]))
        sock.settimeout(0.0)
        return sock

    def turn(self, times: int = 50) -> None:
        """Run the plane for so many turns: what its sockets have for it by now is dealt with."""
        for _ in range(times):
            self.loop.run_until_complete(asyncio.sleep(0))

    def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> bool:
        """Run the plane until `condition`; False if it does not come true in time."""
        ends = time.monotonic() + patience(seconds)
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


def listening(host: str) -> socket.socket:
    if host != "::":
        return socket.create_server((host, 0))
    return socket.create_server((host, 0), family=socket.AF_INET6, dualstack_ipv6=True)


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


def answer(running: Running, client: socket.socket, origin: socket.socket) -> None:
    """Have a TLS origin answer the client's hello: no client says more before that."""
    said = record(b"\x02" + bytes(70))
    origin.send(said)
    got = Reader(client)
    assert running.until(lambda: got().data == said)


def heads(reader: Reader, count: int) -> bool:
    """Whether the reader has got that many heads."""
    return reader().data.count(b"\r\n\r\n") >= count


def push(sock: socket.socket, data: bytes) -> int:
    """Send what goes at once."""
    try:
        return sock.send(data)
    except OSError:
        return 0


def http_state(running: Running) -> HttpState | None:
    """Where the HTTP connection stands; None where there is none."""
    for timed in running.plane._plane.reactor.scheduled():
        if isinstance(timed, HttpConnection):
            return timed.state
        if isinstance(timed, HTTP_CLIENTS):
            return HttpState[timed.state]
    return None


def blocked(running: Running) -> bool:
    """Whether a native connection has bytes that a side does not take."""
    return any(
        getattr(timed, "blocked", False) for timed in running.plane._plane.reactor.scheduled()
    )


def http_connection(running: Running) -> HttpConnection | None:
    found = [t for t in running.plane._plane.reactor.scheduled() if isinstance(t, HttpConnection)]
    return found[0] if found else None
