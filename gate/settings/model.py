"""One typed model of the whole configuration.

Every key has its default and its meaning here. `config/gate.yaml` and `gate/docs/settings.md`
are written from this model (see `gate.settings.describe`), and a test fails when they differ.
Durations are seconds, sizes are bytes. Unknown keys are errors.

A field marked with `restart` is fixed while the gate runs; a reload names it and keeps the
old value. All others take effect on a reload.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gate.settings.base import Address, AddressText, Seconds, Section, restart
from gate.settings.limits import Limits
from gate.settings.listeners import Listener, Network
from gate.settings.operations import Admin, LogSettings, TrafficReportSettings, Unfiled
from gate.settings.policy import PolicySettings
from gate.settings.registry import RegistrySettings
from gate.settings.route_match import RouteMatch
from gate.settings.sync import Sync


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{value!r} is not an http(s) URL; write https://notice.example.cn/")
    if not (value.isascii() and value.isprintable()) or " " in value or parts.fragment:
        raise ValueError(f"{value!r} holds spaces, a fragment or characters that need encoding")
    return value


class UpstreamPool(Section):
    """Addresses that serve one route; round-robin, a failed one rests."""

    http: tuple[AddressText, ...] = Field(
        (), description="HOST:PORT of the origins for filed HTTP, used in turn."
    )
    tls: tuple[AddressText, ...] = Field(
        (), description="HOST:PORT of the origins for filed TLS (passed through undecrypted)."
    )
    quic: tuple[AddressText, ...] = Field(
        (),
        description="HOST:PORT of the origins for filed QUIC (UDP, passed through undecrypted); "
        "empty: those of tls.",
    )
    send_proxy: Literal["off", "v1", "v2"] = Field(
        "off",
        description="PROXY protocol header sent to these origins, so that they see the client's "
        "address: off, v1 or v2. QUIC never has one.",
    )

    def origins(self, kind: str) -> tuple[Address, ...]:
        """Return the origins for the traffic of a listener of this kind."""
        if kind == "quic":
            return self.quic or self.tls
        return self.http if kind == "http" else self.tls


class Route(Section):
    """Sends one domain, or every name below it, or both, to its own upstream pool."""

    match: RouteMatch = Field(
        description="example.cn: this name; *.example.cn: every name below it; .example.cn: both."
    )
    upstream: UpstreamPool = Field(description="The pool that serves the matching names.")


class Upstreams(Section):
    """Where allowed traffic goes."""

    default: UpstreamPool = Field(
        UpstreamPool.model_construct(), description="The pool for every name that no route matches."
    )
    routes: tuple[Route, ...] = Field(
        (), description="Pools for single domains; the most specific match wins. No two are alike."
    )
    connect_timeout: float = Field(
        5.0, gt=0, description="Seconds to connect to an origin; then 504, or a reset for TLS."
    )
    response_timeout: float = Field(
        60.0, gt=0, description="Seconds to wait for the first byte of a response; then 504."
    )
    idle_timeout: float = Field(
        60.0, gt=0, description="Seconds that an unused connection to an origin is kept open."
    )
    max_idle_per_address: int = Field(
        1024, ge=0, description="Unused connections kept open to one origin, per worker."
    )
    rest_seconds: Seconds = Field(
        5.0, ge=0, description="Seconds that an origin rests after it refused, timed out or broke."
    )
    resolve_seconds: Seconds = Field(
        30.0,
        gt=0,
        description="Seconds after which the name of an origin is resolved again. All of its "
        "addresses are used; a name that does not resolve is asked for again after rest_seconds.",
    )
    routes_file: Path | None = Field(
        None,
        description="File with more routes, a line for each, such as `www.example.cn "
        "http=10.0.0.10:80 tls=10.0.0.10:443`; or a folder of such files, with names that end in "
        ".routes. A change to it takes effect within seconds, without a reload, and `gate routes` "
        "changes it. Of two routes for the same names, the one in routes counts.",
    )
    proxy_destination: bool = Field(
        False,
        description="Send what comes with a PROXY protocol header on to the destination that the "
        "header names, if that is in the listener's destinations, rather than to the pools. The "
        "default pool's send_proxy counts.",
    )
    forwarded: Literal["append", "replace", "off"] | None = Field(
        None,
        description="What HTTP origins are told of the client. append: its address is appended to "
        "X-Forwarded-For (and to Forwarded where there is one), X-Forwarded-Proto, -Host and -Port "
        "are set where they are absent. replace: these, Forwarded, X-Real-IP, Client-IP and "
        "True-Client-IP are the gate's own, whatever the client sent. off: nothing is added. null: "
        "append, or off where the origin sees the client's address anyway (client_source).",
    )
    forwarded_from: tuple[Network, ...] = Field(
        (),
        description="Networks whose word counts under forwarded: replace, such as a CDN's: from "
        "there it is append.",
    )
    via: bool = Field(
        False,
        description="Add the gate to Via, in requests and responses. nginx at its defaults "
        "compresses nothing for a request with Via.",
    )

    @model_validator(mode="after")
    def _routes_differ(self) -> Self:
        known: dict[str, int] = {}
        for index, route in enumerate(self.routes):
            first = known.setdefault(route.match, index)
            if first != index:
                raise ValueError(
                    f"routes[{first}] and routes[{index}] both match {route.match!r}; keep one"
                )
        return self


class Notice(Section):
    """Where unfiled HTTP visitors are sent."""

    url: Annotated[str, AfterValidator(_http_url)] = Field(
        "http://127.0.0.1:8081/",
        description="Page that an unfiled HTTP request is redirected to, as visitors reach it.",
    )
    with_query: bool = Field(
        True, description="Add ?domain=NAME&reason=REASON to the URL, so that the page can say it."
    )
    provider: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="The provider's name, as the page shows it to the owner of a blocked site.",
    )
    portal: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None, description="Address of the provider's filing portal, which the page links to."
    )
    phone: str | None = Field(
        None,
        pattern=r"^[0-9+() -]{3,32}$",
        description="Telephone number that owners may call, as the page shows it.",
    )
    listen: AddressText | None = Field(
        Address.model_construct(host="127.0.0.1", port=8081),
        description="HOST:PORT where the gate serves its own notice page; null for none (then url "
        "is a page of yours).",
        json_schema_extra=restart,
    )
    connections: int = Field(
        1000,
        ge=1,
        description="Connections to the notice page at a time; more are closed at once.",
        json_schema_extra=restart,
    )


class Process(Section):
    """The process family: privileges, limits, start and stop."""

    user: str | None = Field(
        None,
        description="User to become once the ports are bound; null to stay who started the gate.",
        json_schema_extra=restart,
    )
    group: str | None = Field(
        None,
        description="Group to become; null for the user's own group.",
        json_schema_extra=restart,
    )
    open_files: int = Field(
        65536,
        ge=256,
        description="Open files wanted per process (a tunnel takes up to 6). Raised up to the "
        "hard limit; less is logged.",
        json_schema_extra=restart,
    )
    native: Literal["auto", "off"] = Field(
        "auto",
        description="The compiled data plane: auto uses it where it was compiled, off has the "
        "Python data plane do all by itself, for two to four times the CPU.",
    )
    coalesce_us: int = Field(
        0,
        ge=0,
        le=1000,
        description="Microseconds that a worker may wait for company when connections trickle in "
        "faster than it sleeps: less CPU for each, at this much more latency. 0 never waits. "
        "Compiled data plane only.",
    )
    drain_delay: Seconds = Field(
        0.0,
        ge=0,
        description="Seconds between TERM and the end of accepting, while /readyz already says "
        "no, so that a load balancer turns away first.",
    )
    drain_seconds: Seconds = Field(
        30.0,
        ge=0,
        description="Seconds that open connections have to end by themselves on TERM; then they "
        "are cut.",
    )
    reload_drain_seconds: Seconds = Field(
        3600.0,
        ge=0,
        description="Seconds that open connections keep their old worker after a reload.",
    )
    reload_seconds: Seconds = Field(
        30.0,
        ge=1,
        description="Seconds that the new processes of a reload have to serve; then it is rolled "
        "back, and the settings before it stay in force.",
    )
    hang_seconds: Seconds = Field(
        30.0,
        ge=0,
        description="A process that gives no sign of life for this many seconds is killed and "
        "restarted; 0 never does.",
    )


def _default_listeners() -> tuple[Listener, ...]:
    return (
        Listener(name="http", kind="http", address=Address(host="0.0.0.0", port=8080)),
        Listener(name="tls", kind="tls", address=Address(host="0.0.0.0", port=8443)),
    )


class Settings(Section):
    """The whole configuration of one gate."""

    workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Worker processes; 0 is one per core.",
        json_schema_extra=restart,
    )
    state_dir: Path = Field(
        Path(".run"),
        description="Folder for the replica, the control socket and the process id.",
        json_schema_extra=restart,
    )
    replica_dir: Path | None = Field(
        None,
        description="Folder of the replica; null is `replica` in state_dir.",
        json_schema_extra=restart,
    )
    listeners: tuple[Listener, ...] = Field(
        default_factory=_default_listeners,
        description="Data-plane ports. Addresses, transparent and client_source change on a "
        "restart only; mode, destinations and trusted networks on a reload.",
    )
    upstreams: Upstreams = Field(
        Upstreams.model_construct(), description="Where allowed traffic goes."
    )
    policy: PolicySettings = Field(
        PolicySettings.model_construct(),
        description="What is decided where the filings alone do not say.",
    )
    limits: Limits = Field(
        Limits.model_construct(),
        description="Bounds on what one client, one connection and one worker may take.",
    )
    notice: Notice = Field(
        Notice.model_construct(), description="Where unfiled HTTP visitors are sent."
    )
    admin: Admin = Field(
        Admin.model_construct(),
        description="The port for health checks, metrics and the admin API.",
    )
    process: Process = Field(
        Process.model_construct(),
        description="The process family: privileges, limits, start and stop.",
    )
    sync: Sync = Field(Sync.model_construct(), description="Where the filings come from.")
    registry: RegistrySettings = Field(
        RegistrySettings.model_construct(),
        description="The filing registry that this machine runs, if it runs one.",
    )
    unfiled: Unfiled = Field(
        Unfiled.model_construct(), description="The table of blocked names that are asked for."
    )
    traffic_report: TrafficReportSettings = Field(
        TrafficReportSettings.model_construct(),
        description="Whether the registry is told which filed domains had traffic.",
    )
    log: LogSettings = Field(
        LogSettings.model_construct(), description="What is written to standard error."
    )

    @model_validator(mode="after")
    def _listeners_differ(self) -> Self:
        taken = [item for item in self.listeners if item.address.port]
        for what, values in (
            ("name", [listener.name for listener in self.listeners]),
            ("address", [str(item.address) for item in taken if item.kind != "quic"]),
            ("address", [str(item.address) for item in taken if item.kind == "quic"]),  # UDP
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(
                    f"listeners: two have the {what} {twice[0]!r}; give each its own {what}"
                )
        return self

    @model_validator(mode="after")
    def _headers_lead_to_hosts(self) -> Self:
        for listener in self.listeners if self.upstreams.proxy_destination else ():
            if listener.proxy_protocol_from and not listener.destinations:
                raise ValueError(
                    f"listener {listener.name!r}: upstreams.proxy_destination needs destinations, "
                    "the networks that a PROXY header may name; add them"
                )
        return self

    @property
    def replica_path(self) -> Path:
        """The folder of the replica."""
        return self.replica_dir or self.state_dir / "replica"

    @property
    def control_path(self) -> Path:
        """The Unix socket between the control process and the workers."""
        return self.state_dir / "control.sock"

    @property
    def lock_path(self) -> Path:
        """Locked by the gate that runs, with its process id inside."""
        return self.state_dir / "gate.pid"

    @property
    def addresses_path(self) -> Path:
        """What listens where, as the supervisor writes it down."""
        return self.state_dir / "listening.json"

    @property
    def reload_path(self) -> Path:
        """What came of the last reload, likewise."""
        return self.state_dir / "reload.json"

    @property
    def admin_token_path(self) -> Path:
        """The file with the admin token, unless the settings hold the token itself."""
        return self.admin.token_file or self.state_dir / "admin.token"
