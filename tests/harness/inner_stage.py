"""A gate in front of hosts that know nothing of it, in networks of their own.

Each way to stand in front of hosts has ports of its own, with a listener for each family.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.harness import namespaces, planes
from tests.harness.certificates import Certificates
from tests.harness.client import Client
from tests.harness.datagrams import DatagramClient, DatagramRecorder, echo
from tests.harness.gate_process import GATE
from tests.harness.http_origin import HttpOrigin, SeenRequest
from tests.harness.namespaces import InnerGate, InnerNetworks
from tests.harness.planes import Plane
from tests.harness.recorder import Arrival, Recorder
from tests.harness.retry import GROUP
from tests.harness.stage import prepare_replica
from tests.harness.tls_origin import TlsOrigin

FAMILIES: Final = (4, 6)
ANY = {4: "0.0.0.0", 6: "[::]"}


@dataclass(slots=True, frozen=True)
class Way:
    """One way to stand in front of hosts, on two ports."""

    name: str
    http: int
    tls: int
    settings: dict[str, Any]
    kinds: tuple[str, ...] = ("http", "tls")
    group: str = ""
    """The only one that the TLS servers behind it exchange keys in, if it is not to be any."""

    @property
    def quic(self) -> int:
        """The UDP port beside that of TLS."""
        return self.tls

    def __str__(self) -> str:
        return self.name


_ALL = ("http", "tls", "quic")
TPROXY = Way("tproxy", 80, 443, {"transparent": "tproxy"}, _ALL)
REDIRECT = Way("redirect", 8080, 8443, {"transparent": "redirect"}, group=GROUP)
SEEN = Way("seen", 81, 444, {"transparent": "tproxy", "client_source": "address"}, _ALL)
SAME = Way("same", 82, 445, {"transparent": "tproxy", "client_source": "address_port"}, _ALL, GROUP)
WAYS = (TPROXY, REDIRECT, SEEN, SAME)
"""Transparent ones."""
HEADED = Way("headed", 83, 446, {"proxy_protocol_from": ["10.77.1.0/24", "fd77:1::/64"]})
"""The client stands for a balancer, which dials the gate and names the host in a PROXY header."""

DESTINATIONS: Final[list[Any]] = [
    *namespaces.HOSTS,
    *({"network": namespaces.OTHER_HOST[family], "mode": "pass"} for family in FAMILIES),
    *({"network": namespaces.THIRD_HOST[family], "mode": "monitor"} for family in FAMILIES),
]


def listeners(ways: tuple[Way, ...] = (*WAYS, HEADED)) -> list[dict[str, Any]]:
    """The listeners of these ways: kind, way and family make the name."""
    return [
        {
            "name": f"{kind}-{way}{family}",
            "kind": kind,
            "address": f"{ANY[family]}:{getattr(way, kind)}",
            "destinations": DESTINATIONS,
            **way.settings,
        }
        for way in ways
        for kind in way.kinds
        for family in FAMILIES
    ]


class InnerStage:
    """Hosts, the gate, and a client who addresses the hosts."""

    def __init__(
        self,
        networks: InnerNetworks,
        directory: Path,
        certificates: Certificates,
        *,
        ways: tuple[Way, ...] = (*WAYS, HEADED),
        plane: Plane | None = None,
        **settings: Any,
    ) -> None:
        self.networks = networks
        self.certificates = certificates
        self.http: dict[tuple[str, int], HttpOrigin] = {}
        self.tls: dict[tuple[str, int], TlsOrigin] = {}
        prepare_replica(directory / "replica")
        settings.setdefault("workers", 1)
        settings.setdefault("process", {"drain_seconds": 0})
        settings.setdefault("listeners", listeners(ways))
        settings.setdefault("upstreams", {"connect_timeout": 0.5, "proxy_destination": True})
        settings.setdefault("log", {"format": "json", "access": {"sample": 1.0}})
        with networks.inside(networks.hosts):
            for way in ways:
                for family in FAMILIES:
                    key, any_address = (way.name, family), ANY[family].strip("[]")
                    self.http[key] = HttpOrigin(any_address, port=way.http)
                    self.tls[key] = TlsOrigin(
                        certificates, any_address, port=way.tls, group=way.group
                    )
        self.datagrams: dict[tuple[str, int, str], DatagramRecorder] = {}
        with networks.inside(networks.hosts):
            for way in ways:
                for family in FAMILIES if "quic" in way.kinds else ():
                    for host in (namespaces.HOST, namespaces.OTHER_HOST, namespaces.THIRD_HOST):
                        at = host[family]
                        self.datagrams[way.name, family, at] = DatagramRecorder(echo, at, way.quic)
        self.gate = InnerGate.put(networks, directory, settings, plane or planes.default())
        self.gate.start()

    def intercept(self, *options: str) -> str:
        """Put the rules in force that `gate intercept` prints; return them."""
        script = self.command("intercept", "--host-side", namespaces.HOST_SIDE, *options)
        self.networks.run(self.networks.gate, "sh", "-s", given=script)
        return script

    def command(self, name: str, *options: str) -> str:
        """Run a command beside the gate, with its settings; return what it prints."""
        return self.networks.run(
            self.networks.gate, GATE, name, "--config", str(self.gate.config), *options
        )

    def origins(self) -> Iterator[Recorder]:
        """Every server of the hosts."""
        yield from self.http.values()
        yield from self.tls.values()

    def connect(self, host: str, port: int, **how: Any) -> Client:
        """Connect as a client to what it takes for the host."""
        with self.networks.inside(self.networks.client):
            return Client(port, host=host, **how)

    def send_to(self, host: str, port: int, **how: Any) -> DatagramClient:
        """A client's socket that sends to what it takes for the host."""
        with self.networks.inside(self.networks.client):
            return DatagramClient(port, host=host, **how)

    def arrivals(self) -> list[Arrival]:
        """Every connection that has reached a host, on whichever port."""
        return [arrival for origin in self.origins() for arrival in origin.arrivals]

    @contextmanager
    def nobody_reached(self) -> Iterator[None]:
        """Within this block no connection reaches a host."""
        before = len(self.arrivals())
        yield
        assert len(self.arrivals()) == before

    def request_about(self, way: Way, family: int, token: str) -> tuple[SeenRequest, Arrival]:
        """The one request whose target contains `token`, and the connection that it came by."""
        origin = self.http[way.name, family]
        (request,) = origin.about(token)
        return request, origin.arrivals[request.connection]

    def close(self) -> None:
        try:
            log = self.gate.log.read_text()
            assert "Traceback" not in log, log[log.index("Traceback") :][:4000]
        finally:
            self.gate.stop()
            for origin in self.origins():
                origin.close()
            for recorder in self.datagrams.values():
                recorder.close()
