"""The QUIC plane inside the test's process, whose clock a test can put forward."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path

from gate.filings import Change, Status
from gate.policy import Decider
from gate.proxy.dataplane import DataPlane
from gate.proxy.reactor import new_event_loop
from gate.proxy.udp.flow import QuicFlow
from gate.replica import Replica
from gate.settings import Address, Limits, Listener, Settings, UpstreamPool, Upstreams
from tests.harness.waiting import patience

NAME = "example.cn"


class RunningQuic:
    """A data plane with one QUIC listener; `upstreams` are addresses of UDP sockets.

    With the host `::` it takes IPv4 clients on the socket for IPv6.
    """

    def __init__(
        self, folder: Path, *upstreams: tuple[str, int], host: str = "127.0.0.1", **limits: float
    ) -> None:
        self.loop = new_event_loop()
        self.replica = Replica.open(folder / "replica", writable=True)
        self.replica.load((), epoch="e", revision=1)
        filed = [Change(NAME, Status.FILED)]
        self.replica.apply(filed, epoch="e", from_revision=1, to_revision=2)
        self.sock = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
        )
        self.sock.bind((host, 0))
        listener = Listener(name="quic", kind="quic", address=Address(host=host, port=0))
        addresses = tuple(Address(host=host, port=port) for host, port in upstreams)
        settings = Settings(
            listeners=(listener,),
            upstreams=Upstreams(default=UpstreamPool(quic=addresses)),
            limits=Limits.model_validate(limits),
        )
        self.plane = DataPlane(
            settings, Decider(self.replica), [(listener, self.sock)], loop=self.loop
        )
        self.plane.start()
        self.loop.run_until_complete(self.plane.start_datagrams())
        self.port: int = self.sock.getsockname()[1]

    @property
    def flows(self) -> list[QuicFlow]:
        """Every flow there is."""
        return list(self.plane._quic[0]._table)

    def figure(self, *path: str) -> int:
        """One of the plane's QUIC figures, 0 for what has not happened."""
        found = self.plane.stats()["quic"]
        for name in path:
            found = found.get(name, 0) if found else 0
        return int(found)

    def until(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Run the plane until `condition` is true."""
        ends = time.monotonic() + patience(seconds)
        while not condition():
            assert time.monotonic() < ends, "in vain"
            self.loop.run_until_complete(asyncio.sleep(0.001))

    def age(self, seconds: float) -> None:
        """Let time pass for every flow: each was last heard of so long before."""
        for flow in self.flows:
            flow.touched -= seconds
            flow.check(self.loop.reactor.now)

    def close(self) -> None:
        self.plane.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        self.replica.close()
        self.sock.close()
