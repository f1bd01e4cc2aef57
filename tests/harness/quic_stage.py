"""The stage of the QUIC suites: one gate between QUIC clients, origins and recorders."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.harness import filings
from tests.harness.certificates import Certificates
from tests.harness.datagrams import DatagramClient, DatagramRecorder
from tests.harness.gate_process import Gate, listener
from tests.harness.initial import Initials
from tests.harness.ports import free_port
from tests.harness.quic_origin import QuicOrigin
from tests.harness.rights import has_ipv6
from tests.harness.stage import prepare_replica
from tests.harness.waiting import wait_for


class QuicStage:
    """Origins, and the gate before them."""

    def __init__(
        self,
        directory: Path,
        certificates: Certificates,
        *,
        routes: Mapping[str, str] = MappingProxyType({}),
        everywhere: bool = False,
        **settings: Any,
    ) -> None:
        """Start everything; `routes` are more origins by name, `settings` those of the gate.

        `everywhere` has all that no route matches go to the raw origin.
        """
        self.certificates = certificates
        self.origin = QuicOrigin(certificates)
        self.retrying = QuicOrigin(certificates, retry=True, name=b"retrying-origin")
        self.raw = DatagramRecorder()
        self.second = DatagramRecorder()
        self.nobody = f"127.0.0.1:{free_port()}"
        prepare_replica(directory / "replica")
        settings.setdefault("workers", 2)
        settings.setdefault("process", {"drain_seconds": 0})
        settings.setdefault(
            "listeners",
            [
                listener("quic", "quic"),
                listener("quic-any", "quic", "0.0.0.0"),
                listener("quic-monitor", "quic", mode="monitor"),
                *([listener("quic6", "quic", "::1")] if has_ipv6() else []),
            ],
        )
        upstreams = settings.setdefault("upstreams", {})
        default = self.raw.address if everywhere else self.origin.address
        upstreams["default"] = {"quic": [default]}
        upstreams["routes"] = [
            {"match": match, "upstream": {"quic": addresses}}
            for match, addresses in (
                (filings.TO_RAW, [self.raw.address]),
                ("." + filings.TO_RAW, [self.raw.address]),
                (filings.TO_REFUSED, [self.nobody]),
                (filings.TO_PAIR, [self.nobody, self.second.address]),
                (filings.TO_SUBTREE, [self.retrying.address]),
                (filings.UNFILED, [self.raw.address]),  # where only monitoring lets it through
                *((name, [address]) for name, address in routes.items()),
            )
        ]
        self.gate = Gate(directory, settings)
        self.gate.start()

    def client(self, name: str = "quic", **how: Any) -> DatagramClient:
        """A socket that sends to a listener."""
        host = "::1" if name.endswith("6") else "127.0.0.1"
        return DatagramClient(self.gate.ports[name], host=how.pop("host", host), **how)

    @contextlib.contextmanager
    def opened(
        self, name: str = filings.TO_RAW, **how: Any
    ) -> Iterator[tuple[DatagramClient, Any]]:
        """A client whose connection the raw origin knows, and the gate's address towards that."""
        before = len(self.raw.arrivals)
        with self.client(**how) as client:
            client.send(Initials().hello(name))
            self.raw.wait_for(before + 1)
            yield client, self.raw.arrivals[before][0]

    def dropped(self, cause: str) -> float:
        """Datagrams that were dropped for a cause so far."""
        return self.gate.total("gate_quic_datagrams_dropped_total", cause=cause)

    def flows(self, state: str = "") -> float:
        """Flows that there are now, of one state or all."""
        labels = {"state": state} if state else {}
        return self.gate.total("gate_quic_flows", **labels)

    def settle(self) -> None:
        """Return when the gate has taken what it was sent before this call.

        A datagram behind all others of its socket has gone through each worker.
        """
        for _ in range(3):
            with self.opened():
                pass

    @contextlib.contextmanager
    def nothing_passes(self) -> Iterator[None]:
        """Within this block no datagram reaches a recorder."""
        self.settle()
        before = len(self.raw.arrivals) + len(self.second.arrivals)
        yield
        self.gate.decisions()  # each worker has answered: what it was sent before is done
        assert len(self.raw.arrivals) + len(self.second.arrivals) == before

    def wait_until_dropped(self, cause: str, more_than: float) -> None:
        """Return when datagrams beyond `more_than` were dropped for a cause."""
        wait_for(lambda: self.dropped(cause) > more_than, f"a datagram dropped as {cause}")

    def wait_for_log(self, words: str) -> None:
        """Return when the gate has written a line with these words."""
        wait_for(lambda: words in self.gate.log.read_text(), f"{words!r} in the log")

    def check_health(self) -> None:
        """The gate never logged an exception and is still the process that was started."""
        assert self.gate.process is not None
        assert self.gate.process.poll() is None, "the gate died"
        log = self.gate.log.read_text()
        assert "Traceback" not in log, log[log.index("Traceback") :][:4000]

    def close(self) -> None:
        try:
            self.check_health()
        finally:
            try:
                self.gate.stop()
            finally:
                for server in (self.origin, self.retrying, self.raw, self.second):
                    server.close()
