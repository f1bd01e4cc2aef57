"""One typed model of the whole configuration.

Every key has its default and its meaning here. `config/gate.yaml` and `gate/docs/settings.md`
are written from this model (see `gate.settings.describe`), and a test fails when they differ.
Durations are seconds, sizes are bytes. Unknown keys are errors.

A field marked with `restart` is fixed while the gate runs; a reload names it and keeps the
old value. All others take effect on a reload.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gate.settings.base import Address, AddressText, Section, restart
from gate.settings.operations import Admin, Log, Unfiled
from gate.settings.registry import Registry
from gate.settings.sync import Sync


class Mode(StrEnum):
    """What a verdict does: `enforce` blocks, `monitor` judges and reports only."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


def _network(value: object) -> object:
    try:
        ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write a network such as 10.0.0.0/8 or 2001:db8::/32") from None
    return str(value)


Network = Annotated[str, BeforeValidator(_network)]


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{value!r} is not an http(s) URL; write https://notice.example.cn/")
    if not (value.isascii() and value.isprintable()) or " " in value or parts.fragment:
        raise ValueError(f"{value!r} holds spaces, a fragment or characters that need encoding")
    return value


class Listener(Section):
    """One data-plane listener."""

    name: str = Field(
        pattern=r"^[a-z0-9_-]{1,32}$",
        description="Name in metrics, logs and commands: 1 to 32 of a-z, 0-9, _ and -.",
    )
    kind: Literal["http", "tls"] = Field(
        description="What is expected on the port. TLS on an http port, and plain HTTP on a tls "
        "port, are recognised and judged all the same.",
    )
    address: AddressText = Field(
        description="HOST:PORT to listen on; 0.0.0.0 is every IPv4 address, [::] every IPv6 one."
    )
    mode: Mode = Field(
        Mode.ENFORCE,
        description="enforce: block what is not filed. monitor: judge, count and report only.",
    )
    proxy_protocol_from: tuple[Network, ...] = Field(
        (),
        description="Networks whose connections begin with a PROXY protocol header (v1 or v2), "
        "such as a load balancer's. From anywhere else such a header is malformed.",
    )


class UpstreamPool(Section):
    """Addresses that serve one route; round-robin, a failed one rests."""

    http: tuple[AddressText, ...] = Field(
        (), description="HOST:PORT of the origins for filed HTTP, used in turn."
    )
    tls: tuple[AddressText, ...] = Field(
        (), description="HOST:PORT of the origins for filed TLS (passed through undecrypted)."
    )
    send_proxy: Literal["off", "v1", "v2"] = Field(
        "off",
        description="PROXY protocol header sent to these origins, so that they see the client's "
        "address: off, v1 or v2.",
    )


class Route(Section):
    """Sends one domain, or with a leading dot every name below it, to its own upstream pool."""

    match: str = Field(
        min_length=1,
        description="A name (example.cn), or with a leading dot every name below it (.example.cn).",
    )
    upstream: UpstreamPool = Field(description="The pool that serves the matching names.")


class Upstreams(Section):
    """Where allowed traffic goes."""

    default: UpstreamPool = Field(
        UpstreamPool(), description="The pool for every name that no route matches."
    )
    routes: tuple[Route, ...] = Field(
        (), description="Pools for single domains; the most specific match wins."
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
    rest_seconds: float = Field(
        5.0, ge=0, description="Seconds that an origin rests after it refused, timed out or broke."
    )


class Limits(Section):
    """Bounds on what one client, one connection and one worker may take."""

    head_bytes: int = Field(
        32768, ge=1024, le=65536, description="Largest HTTP request head in bytes; then 431."
    )
    head_seconds: float = Field(
        10.0, gt=0, description="Seconds for a request head to be complete; then 408."
    )
    hello_seconds: float = Field(
        5.0, gt=0, description="Seconds for a TLS ClientHello to be complete; then a reset."
    )
    idle_seconds: float = Field(
        60.0, gt=0, description="Seconds that a kept-alive client connection may be silent."
    )
    tunnel_idle_seconds: float = Field(
        3600.0, gt=0, description="Seconds that a TLS or WebSocket tunnel may be silent both ways."
    )
    body_idle_seconds: float = Field(
        60.0, gt=0, description="Seconds without progress in a request or response body."
    )
    connections_per_worker: int = Field(
        16000, ge=1, description="Client connections open at a time in one worker."
    )
    connections_per_address: int = Field(
        8000, ge=1, description="Client connections open at a time from one address, per worker."
    )
    pending_bytes: int = Field(
        1 << 26,
        ge=1 << 20,
        description="Bytes held of hellos and requests that are not complete, or wait their turn, "
        "per worker; a connection that wants more is reset. What comes whole is not counted.",
    )


class Policy(Section):
    """What is decided where the filings alone do not say."""

    ip_hosts: Literal["block", "allow"] = Field(
        "block", description="Requests by bare IP address: block or allow."
    )
    no_sni: Literal["block", "allow"] = Field(
        "block", description="TLS without a server name: block or allow."
    )
    ech: Literal["allow_outer", "block"] = Field(
        "allow_outer",
        description="TLS with Encrypted Client Hello: allow_outer judges the outer name, block "
        "resets.",
    )
    cache_size: int = Field(
        100_000, ge=1, description="Verdicts kept in memory by each worker (about 300 bytes each)."
    )
    revoked_connections: Literal["reset", "keep"] = Field(
        "reset",
        description="Open tunnels and kept-alive connections of a domain that has just been "
        "revoked: reset cuts them, keep lets them end by themselves.",
    )


class Notice(Section):
    """Where unfiled HTTP visitors are sent."""

    url: Annotated[str, AfterValidator(_http_url)] = Field(
        "http://127.0.0.1:8081/",
        description="Page that an unfiled HTTP request is redirected to, as visitors reach it.",
    )
    with_query: bool = Field(
        True, description="Add ?domain=NAME&reason=REASON to the URL, so that the page can say it."
    )
    listen: AddressText | None = Field(
        Address(host="127.0.0.1", port=8081),
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
    drain_delay: float = Field(
        0.0,
        ge=0,
        description="Seconds between TERM and the end of accepting, while /readyz already says "
        "no, so that a load balancer turns away first.",
    )
    drain_seconds: float = Field(
        30.0,
        ge=0,
        description="Seconds that open connections have to end by themselves on TERM; then they "
        "are cut.",
    )
    reload_drain_seconds: float = Field(
        3600.0,
        ge=0,
        description="Seconds that open connections keep their old worker after a reload.",
    )
    hang_seconds: float = Field(
        30.0,
        ge=0,
        description="A worker that gives no sign of life for this many seconds is killed and "
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
        description="Data-plane ports. Addresses change on a restart only; mode and trusted "
        "networks on a reload.",
    )
    upstreams: Upstreams = Field(Upstreams(), description="Where allowed traffic goes.")
    policy: Policy = Field(
        Policy(), description="What is decided where the filings alone do not say."
    )
    limits: Limits = Field(
        Limits(), description="Bounds on what one client, one connection and one worker may take."
    )
    notice: Notice = Field(Notice(), description="Where unfiled HTTP visitors are sent.")
    admin: Admin = Field(
        Admin(), description="The port for health checks, metrics and the admin API."
    )
    process: Process = Field(
        Process(), description="The process family: privileges, limits, start and stop."
    )
    sync: Sync = Field(Sync(), description="Where the filings come from.")
    registry: Registry = Field(
        Registry(), description="The filing registry that this machine runs, if it runs one."
    )
    unfiled: Unfiled = Field(
        Unfiled(), description="The table of blocked names that are asked for."
    )
    log: Log = Field(Log(), description="What is written to standard error.")

    @model_validator(mode="after")
    def _listeners_differ(self) -> Self:
        for what, values in (
            ("name", [listener.name for listener in self.listeners]),
            ("address", [str(item.address) for item in self.listeners if item.address.port]),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(
                    f"listeners: two have the {what} {twice[0]!r}; give each its own {what}"
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
