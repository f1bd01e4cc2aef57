"""The servers, each between a client and a host in networks of its own.

The peers are dialled and know the one host, which spares them what a transparent listener costs:
Debian's nginx has no such listener. They keep the client's address as their manuals say, by the
same rules that bring the host's answers back, and tell the host nothing in fields of their own, as
the gate then does. nginx's kept connections are shared by all clients, so one made from the address
of a client would carry the requests of others: there are none.
"""

from __future__ import annotations

import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.side_by_side import gate, haproxy, nginx, origin
from benchmarks.side_by_side.bench import Bench
from benchmarks.side_by_side.process import SERVER_CORE, BenchError, free_ports
from benchmarks.side_by_side.servers import Front, Place, Running, Setup, Starter, Variant
from tests.harness import namespaces
from tests.harness.namespaces import InnerNetworks

HTTP_PORT, TLS_PORT = 80, 443
_GATE = "10.77.1.1"  # on the clients' side
_HOST = namespaces.HOST[4]
_DIALLED = Place("0.0.0.0", _GATE, _HOST)
_INTERCEPTED = Place("0.0.0.0", _HOST, _HOST)

# What `gate intercept` prints for the way back, by itself: answers to the clients' addresses
# belong to sockets of this machine.
_WAY_BACK = """
set -e
nft -f - <<'END'
table inet way_back {
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    meta l4proto tcp socket transparent 1 meta mark set 0x1 accept
  }
}
END
ip rule add fwmark 0x1 lookup 100
ip route add local 0.0.0.0/0 dev lo table 100
"""


@dataclass(slots=True, frozen=True)
class Contestant:
    """One column of the table."""

    name: str
    start: Starter
    front: Front
    what: str

    @property
    def place(self) -> Place:
        """Where clients connect to."""
        dialled = self.front in (Front.DIALLED, Front.CLIENT)
        return _DIALLED if dialled else _INTERCEPTED


CONTESTANTS = {
    one.name: one
    for one in (
        Contestant("gate", gate.start, Front.DIALLED, "the gate, dialled"),
        Contestant("gate-own", gate.start, Front.TRANSPARENT, "transparent, its own address"),
        Contestant(
            "gate-client", gate.start, Front.TRANSPARENT_CLIENT, "transparent, the client's address"
        ),
        Contestant("haproxy", haproxy.start, Front.DIALLED, "HAProxy, its own address"),
        Contestant("haproxy-client", haproxy.start, Front.CLIENT, "HAProxy, the client's address"),
        Contestant("nginx", nginx.start, Front.DIALLED, "nginx, its own address"),
        Contestant("nginx-client", nginx.start, Front.CLIENT, "nginx, the client's address"),
    )
}


class Between:
    """A server that runs between a client and a host."""

    def __init__(self, contestant: Contestant, shared: Bench, names: Path, *, settle: bool) -> None:
        """Lay its networks and start both. Raises BenchError when one does not come up."""
        self.networks = InnerNetworks()
        self._running: Running | None = None
        self._origins: origin.Origins | None = None
        try:
            self._start(contestant, shared, names, settle)
        except BaseException:
            self.close()
            raise

    def _start(self, contestant: Contestant, shared: Bench, names: Path, settle: bool) -> None:
        networks, folder = self.networks, shared.folder / contestant.name
        folder.mkdir()
        for name in (networks.client, networks.gate, networks.hosts):
            networks.run(
                name, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535",
                "net.ipv4.tcp_tw_reuse=1",
            )  # fmt: skip
        with networks.inside(networks.hosts):
            self._origins = origin.start(folder, host=_HOST, http_port=HTTP_PORT, tls_port=TLS_PORT)
        with networks.inside(networks.gate):
            spare = free_ports(3)
            setup = Setup(
                folder, names, len(shared.listed), Variant.KEEP, shared.workers,
                HTTP_PORT, TLS_PORT, (spare[0], spare[1], spare[2]), HTTP_PORT, TLS_PORT,
                frozenset({SERVER_CORE}), contestant.place, contestant.front, settle,
            )  # fmt: skip
            self._running = contestant.start(setup)
        self._running.name = contestant.name
        self._intercept(setup)
        self.bench = replace(
            shared, origins=self._origins, beside_clients=self._beside_clients, _running={}
        )
        self.bench.admit(self._running)

    def _beside_clients(self) -> AbstractContextManager[None]:
        return self.networks.inside(self.networks.client)

    def _intercept(self, setup: Setup) -> None:
        """Put the rules in force that this set-up needs."""
        if setup.front is Front.DIALLED:
            return
        script = _WAY_BACK
        if setup.front is not Front.CLIENT:
            command = [gate.PROGRAM, "intercept", "--host-side", namespaces.HOST_SIDE]
            command += ["--config", str(setup.folder / "gate.yaml")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BenchError(f"gate intercept: {done.stderr.strip()}")
            script = done.stdout
        self.networks.run(self.networks.gate, "sh", "-s", given=script)

    def close(self) -> None:
        """Stop server and host, and remove the networks."""
        if self._running is not None:
            self._running.stop()
        if self._origins is not None:
            self._origins.stop()
        self.networks.close()
