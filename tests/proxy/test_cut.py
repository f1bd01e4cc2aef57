"""A revocation cuts what is open for the name, in every state, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gate.filings import Change, Status
from gate.policy import Decider
from gate.proxy.dataplane import DataPlane
from gate.proxy.reactor import ReactorLoop
from gate.replica import Replica
from gate.settings import (
    Address,
    Limits,
    Listener,
    Mode,
    PolicySettings,
    Settings,
    UpstreamPool,
    Upstreams,
)
from tests.harness.hello import real_hello
from tests.harness.planes import Plane
from tests.harness.stage import Blackhole
from tests.proxy.running import new_loop


@dataclass
class Worker:
    """A data plane in this process, with a listener of each mode and a silent upstream."""

    loop: ReactorLoop
    plane: DataPlane
    replica: Replica
    decider: Decider
    ports: dict[str, int]

    def run(self, seconds: float = 0.05) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def until_open(self, count: int) -> None:
        async def wait() -> None:
            while self.plane.stats()["connections_open"] != count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        self.loop.run_until_complete(asyncio.wait_for(wait(), 10))

    def tls(self, listener: str, name: str) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.ports[listener]), 5)
        sock.sendall(real_hello(name))
        return sock

    def revoke(self, domain: str) -> int:
        position = self.replica.position()
        assert position is not None
        have = position.revision
        self.replica.apply(
            [Change(domain, Status.ABSENT)],
            epoch="e",
            from_revision=have,
            to_revision=have + 1,
        )
        self.decider.invalidate([domain])
        return self.plane.cut([domain])


@pytest.fixture(params=["answering", "connecting"])
def worker(request: pytest.FixtureRequest, tmp_path: Path, plane: Plane) -> Iterator[Worker]:
    yield from running(tmp_path, request.param, PolicySettings(), plane)


@pytest.fixture
def keeping(tmp_path: Path, plane: Plane) -> Iterator[Worker]:
    yield from running(tmp_path, "answering", PolicySettings(revoked_connections="keep"), plane)


def running(folder: Path, kind: str, policy: PolicySettings, plane: Plane) -> Iterator[Worker]:
    upstream = socket.create_server(("127.0.0.1", 0))
    blackhole = Blackhole()
    address = f"127.0.0.1:{upstream.getsockname()[1]}" if kind == "answering" else blackhole.address
    host, port = address.split(":")
    pool = UpstreamPool(tls=(Address(host=host, port=int(port)),))
    loopback = Address(host="127.0.0.1", port=0)
    settings = Settings(
        listeners=(
            Listener(name="tls", kind="tls", address=loopback),
            Listener(name="watch", kind="tls", address=loopback, mode=Mode.MONITOR),
        ),
        upstreams=Upstreams(default=pool, connect_timeout=30),
        limits=Limits(),
        policy=policy,
    )
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in settings.listeners]
    loop = new_loop(plane)
    with Replica.open(folder / "replica", writable=True) as replica:
        replica.load((), epoch="e", revision=1)
        names = ("example.cn", "own.example.cn", "other.cn")
        changes = [Change(name, Status.FILED) for name in names]
        replica.apply(changes, epoch="e", from_revision=1, to_revision=2)
        decider = Decider(replica)
        listeners = list(zip(settings.listeners, sockets, strict=True))
        data_plane = DataPlane(settings, decider, listeners, loop=loop)
        data_plane.start()
        ports = {item.name: sock.getsockname()[1] for item, sock in listeners}
        yield Worker(loop, data_plane, replica, decider, ports)
        data_plane.close()
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    for sock in (upstream, *sockets):
        sock.close()
    blackhole.close()


def test_open_and_opening_tunnels_of_the_name_are_reset(worker: Worker) -> None:
    gone = [worker.tls("tls", name) for name in ("example.cn", "www.example.cn")]
    stays = [worker.tls("tls", name) for name in ("own.example.cn", "other.cn")]
    worker.until_open(4)
    assert worker.revoke("example.cn") == 2
    worker.until_open(2)
    for sock in gone:
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    for sock in stays:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    for sock in (*gone, *stays):
        sock.close()


def test_what_a_monitoring_listener_let_in_is_not_cut(worker: Worker) -> None:
    sock = worker.tls("watch", "example.cn")
    worker.until_open(1)
    assert worker.revoke("example.cn") == 0
    worker.run()
    assert worker.plane.stats()["connections_open"] == 1
    sock.close()


def test_a_switch_to_enforce_resets_the_tunnels_that_only_monitoring_let_through(
    worker: Worker,
) -> None:
    names = ("unfiled.cn", "www.unfiled.cn", "own.example.cn")
    gone = [worker.tls("watch", name) for name in names]
    stays = [worker.tls("watch", "other.cn")]
    worker.until_open(4)
    worker.revoke("example.cn")
    worker.revoke("own.example.cn")
    worker.plane.set_mode("watch", Mode.ENFORCE)
    worker.until_open(1)
    assert worker.plane.stats()["connections_ended"]["not_allowed"] == 3
    for sock in gone:
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    for sock in stays:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        sock.close()


def test_a_switch_to_enforce_keeps_what_is_open_where_the_settings_say_so(keeping: Worker) -> None:
    sock = keeping.tls("watch", "unfiled.cn")
    keeping.until_open(1)
    keeping.plane.set_mode("watch", Mode.ENFORCE)
    keeping.run()
    assert keeping.plane.stats()["connections_open"] == 1
    sock.close()
