"""One typed model of the whole configuration.

Every key has its default and its meaning here; `config/gate.yaml` shows them all.
Unknown keys are errors.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Mode(StrEnum):
    """What a verdict does: `enforce` blocks, `monitor` judges and reports only."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


class Address(_Model):
    """A host (IPv4 or IPv6 literal, or a name resolved at start) and a TCP port."""

    host: str
    port: int = Field(ge=0, le=65535)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _parse_address(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        raise ValueError(f"{value!r} is not HOST:PORT; write 127.0.0.1:8080 or [::1]:8080")
    return {"host": host.strip("[]"), "port": int(port)}


AddressText = Annotated[Address, BeforeValidator(_parse_address)]


def _network(value: object) -> object:
    ip_network(str(value))  # raises ValueError with a clear text
    return str(value)


Network = Annotated[str, BeforeValidator(_network)]


class Listener(_Model):
    """One data-plane listener."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    kind: Literal["http", "tls"]
    address: AddressText
    mode: Mode = Mode.ENFORCE
    proxy_protocol_from: tuple[Network, ...] = ()


class UpstreamPool(_Model):
    """Addresses that serve one route; round-robin, a failed one rests."""

    http: tuple[AddressText, ...] = ()
    tls: tuple[AddressText, ...] = ()
    send_proxy: Literal["off", "v1", "v2"] = "off"


class Route(_Model):
    """Sends one domain, or with a leading dot every name below it, to its own upstream pool."""

    match: str
    upstream: UpstreamPool


class Upstreams(_Model):
    default: UpstreamPool = UpstreamPool()
    routes: tuple[Route, ...] = ()
    connect_timeout: float = Field(5.0, gt=0)
    response_timeout: float = Field(60.0, gt=0)
    idle_timeout: float = Field(60.0, gt=0)
    max_idle_per_address: int = Field(256, ge=0)
    rest_seconds: float = Field(5.0, ge=0)


class Limits(_Model):
    """Bounds on what one client, one connection and one worker may take."""

    head_bytes: int = Field(32768, ge=1024, le=65536)
    head_seconds: float = Field(10.0, gt=0)
    hello_seconds: float = Field(5.0, gt=0)
    idle_seconds: float = Field(60.0, gt=0)
    tunnel_idle_seconds: float = Field(3600.0, gt=0)
    body_idle_seconds: float = Field(60.0, gt=0)
    connections_per_worker: int = Field(16000, ge=1)
    connections_per_address: int = Field(8000, ge=1)


class Policy(_Model):
    ip_hosts: Literal["block", "allow"] = "block"
    no_sni: Literal["block", "allow"] = "block"
    ech: Literal["allow_outer", "block"] = "allow_outer"
    cache_size: int = Field(100_000, ge=1)
    revoked_connections: Literal["reset", "keep"] = "reset"


class Notice(_Model):
    """Where unfiled HTTP visitors are sent."""

    url: str = "http://127.0.0.1:8081/"
    with_query: bool = True
    listen: AddressText | None = Address(host="127.0.0.1", port=8081)


class Admin(_Model):
    listen: AddressText = Address(host="127.0.0.1", port=9464)


class Settings(_Model):
    """The whole configuration of one gate."""

    workers: int = Field(0, ge=0, description="worker processes; 0 means one per core")
    state_dir: Path = Path(".run")
    replica_dir: Path | None = None
    listeners: tuple[Listener, ...] = ()
    upstreams: Upstreams = Upstreams()
    policy: Policy = Policy()
    limits: Limits = Limits()
    notice: Notice = Notice()
    admin: Admin = Admin()

    @property
    def replica_path(self) -> Path:
        return self.replica_dir or self.state_dir / "replica"
