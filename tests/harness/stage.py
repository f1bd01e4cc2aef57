"""The stage of the end-to-end suites: one running gate between raw clients and recorders."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.filings import Change, Override, OverrideKind, Status
from gate.replica import Replica
from tests.harness import filings, planes
from tests.harness.certificates import Certificates
from tests.harness.client import Client, Response, get
from tests.harness.gate_process import Gate, listener
from tests.harness.http_origin import HttpOrigin
from tests.harness.planes import Plane
from tests.harness.recorder import Arrival, Recorder, echo, swallow
from tests.harness.retry import GROUP
from tests.harness.rights import has_ipv6, require_ipv6
from tests.harness.tls_origin import TlsOrigin

_tokens = itertools.count(1)


def fresh_path(label: str = "t") -> str:
    """A request path that no other test uses."""
    return f"/{label}-{next(_tokens)}-"


def prepare_replica(path: Path) -> None:
    """Write the filings of `tests.harness.filings` as a synced replica."""
    now = int(time.time())
    changes = [
        Change(name, Status.FILED, filings.LICENCE, now) for name in sorted(filings.ALL_FILED)
    ]
    changes.append(Change(filings.ELSEWHERE, Status.FILED_ELSEWHERE, filings.LICENCE, now))
    changes.append(Change(filings.SUSPENDED, Status.SUSPENDED, filings.LICENCE, now))
    changes.append(Change(filings.REVOKED, Status.FILED, filings.LICENCE, now))
    gone = [Change(filings.REVOKED, Status.ABSENT, "", now)]
    with Replica.open(path, writable=True) as replica:
        replica.load((), epoch="e2e", revision=1)
        replica.apply(changes, epoch="e2e", from_revision=1, to_revision=2)
        replica.apply(gone, epoch="e2e", from_revision=2, to_revision=3)
        for override in (
            Override(filings.EXEMPT, OverrideKind.EXEMPT, now + 3600.0, "event", "e2e", now),
            Override(filings.ENDED, OverrideKind.EXEMPT, now - 1.0, "event", "e2e", now - 9.0),
            Override(filings.STOPPED, OverrideKind.SUSPENDED, None, "order", "e2e", now),
        ):
            replica.set_override(override)


class Blackhole:
    """An address where a connection attempt neither succeeds nor fails."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._listener.getsockname())
            self._fillers.append(filler)

    def close(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._listener.close()


class RefusedPort:
    """An address that is bound and refuses connections, so that nobody else can take it."""

    def __init__(self) -> None:
        self._bound = socket.socket()
        self._bound.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._bound.getsockname()[1]}"

    def close(self) -> None:
        self._bound.close()


@dataclass(slots=True)
class ProxiedOrigin:
    """An HTTP origin that expects a PROXY header first, and keeps it."""

    headers: list[bytes] = field(default_factory=list)
    origin: HttpOrigin = field(init=False)

    def __post_init__(self) -> None:
        self.origin = HttpOrigin(preface=self.take_header)

    def take_header(self, arrival: Arrival) -> None:
        """Read a v1 or v2 PROXY header (the PROXY protocol, sections 2.1 and 2.2)."""
        first = arrival.read_exact(12)
        if first == b"\r\n\r\n\x00\r\nQUIT\n":
            rest = arrival.read_exact(4)
            self.headers.append(first + rest + arrival.read_exact(int.from_bytes(rest[2:], "big")))
        else:
            self.headers.append(first + arrival.read_until(b"\r\n"))


class Stage:
    """Origins, the gate before them, and what most tests do with the two."""

    def __init__(
        self,
        directory: Path,
        certificates: Certificates,
        *,
        plane: Plane | None = None,
        descriptors: int | None = None,
        **settings: Any,
    ) -> None:
        """Start everything; `settings` are those of the gate, `descriptors` its hard limit."""
        self.certificates = certificates
        self.origin = HttpOrigin()
        self.tls_origin = TlsOrigin(certificates)
        self.retry_origin = TlsOrigin(certificates, group=GROUP)
        self.raw = Recorder(echo)
        self.silent = Recorder(swallow)
        self.second = HttpOrigin()
        self.blackhole = Blackhole()
        self.refused = RefusedPort()
        self.proxied = ProxiedOrigin()
        self.proxied_tls = Recorder(echo)
        prepare_replica(directory / "replica")
        settings.setdefault("workers", 2)
        settings.setdefault("process", {"drain_seconds": 0})
        settings.setdefault(
            "listeners",
            [
                listener("http", "http"),
                listener("tls", "tls"),
                listener("http-monitor", "http", mode="monitor"),
                listener("tls-monitor", "tls", mode="monitor"),
                listener("http-proxied", "http", proxy_protocol_from=["127.0.0.2/32"]),
                listener("tls-proxied", "tls", proxy_protocol_from=["127.0.0.2/32"]),
                *(
                    [listener("http6", "http", "::1"), listener("tls6", "tls", "::1")]
                    if has_ipv6()
                    else []
                ),
            ],
        )
        upstreams = settings.setdefault("upstreams", {})
        upstreams.setdefault("connect_timeout", 1.0)
        upstreams["default"] = {
            "http": [self.origin.address],
            "tls": [self.tls_origin.address],
        }
        upstreams["routes"] = self._routes()
        self.gate = Gate(directory, settings, descriptors, plane=plane or planes.default())
        self.gate.start()

    def _routes(self) -> list[dict[str, Any]]:
        def route(match: str, http: str | list[str], tls: str, proxy: str = "off") -> Any:
            https = [http] if isinstance(http, str) else http
            return {"match": match, "upstream": {"http": https, "tls": [tls], "send_proxy": proxy}}

        refused, silent, raw = self.refused.address, self.silent.address, self.raw.address
        proxied, proxied_tls = self.proxied.origin.address, self.proxied_tls.address
        return [
            route(filings.TO_REFUSED, refused, refused),
            route(filings.TO_SILENT, silent, silent),
            route(filings.TO_BLACKHOLE, self.blackhole.address, self.blackhole.address),
            route(filings.TO_PROXY_V1, proxied, proxied_tls, "v1"),
            route(filings.TO_PROXY_V2, proxied, proxied_tls, "v2"),
            route(filings.TO_PAIR, [refused, self.second.address], raw),
            route(filings.TO_RAW, raw, raw),
            route("." + filings.TO_SUBTREE, self.second.address, raw),
            route("*." + filings.TO_BELOW, self.second.address, raw),
            route("." + filings.TO_RETRY, self.second.address, self.retry_origin.address),
            route(filings.TO_IDN_TEXT + ".", self.second.address, raw),
        ]

    def http(self, listener: str = "http", **how: Any) -> Client:
        """Connect to an http listener."""
        host = "127.0.0.1"
        if listener.endswith("6"):
            require_ipv6()
            host = "::1"
        return Client(self.gate.ports[listener], host=host, **how)

    def tls(self, listener: str = "tls", **how: Any) -> Client:
        """Connect to a tls listener."""
        return self.http(listener, **how)

    def ask(self, request: bytes, method: str = "GET", listener: str = "http") -> Response:
        """One request on a connection of its own."""
        with self.http(listener) as client:
            return client.ask(request, method)

    @contextlib.contextmanager
    def no_tunnel(self) -> Iterator[None]:
        """Within this block no connection reaches a TLS or raw origin."""
        before = len(self.tls_origin.arrivals) + len(self.raw.arrivals)
        yield
        assert len(self.tls_origin.arrivals) + len(self.raw.arrivals) == before

    def settle(self) -> None:
        """Return when what the gate was given before this call has reached the origin.

        Every worker has answered the question for its figures, and filed requests have gone
        all the way, behind whatever came before.
        """
        self.gate.decisions()
        for _ in range(4):
            assert self.ask(get(filings.FILED, fresh_path("settle"))).status == 200

    def violations(self) -> list[str]:
        """What any origin was sent that is not canonical HTTP/1.1."""
        return [
            *self.origin.violations,
            *self.second.violations,
            *self.proxied.origin.violations,
        ]

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
                for server in (
                    self.origin,
                    self.tls_origin,
                    self.retry_origin,
                    self.raw,
                    self.silent,
                    self.second,
                    self.blackhole,
                    self.refused,
                    self.proxied.origin,
                    self.proxied_tls,
                ):
                    server.close()


class Stages:
    """Stages that outlive the test that asked for them, so that few tests wait for a start.

    A fixture of pytest's that is made once for each data plane would be closed whenever the next
    test is for the other one. These stay until the end of the run.
    """

    def __init__(self, new_directory: Callable[[str], Path], certificates: Certificates) -> None:
        self._new_directory = new_directory
        self._certificates = certificates
        self._started: dict[tuple[str, str], Stage] = {}

    def on(self, name: str, plane: Plane, **settings: Any) -> Stage:
        """Return the stage of that name on `plane`; `settings` are used where it is started."""
        key = (name, plane.name)
        if key not in self._started:
            directory = self._new_directory("-".join(key))
            self._started[key] = Stage(directory, self._certificates, plane=plane, **settings)
        return self._started[key]

    @contextlib.contextmanager
    def canonical(self, name: str, plane: Plane, **settings: Any) -> Iterator[Stage]:
        """The stage, to whose origins nothing uncanonical may be sent within this block."""
        stage = self.on(name, plane, **settings)
        before = len(stage.violations())
        yield stage
        assert stage.violations()[before:] == []

    def close(self) -> None:
        """Stop all of them; raise AssertionError if one was not well."""
        with contextlib.ExitStack() as stack:
            for stage in self._started.values():
                stack.callback(stage.close)
