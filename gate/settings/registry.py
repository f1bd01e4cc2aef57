"""Settings of the filing registry: `gate registry serve`, and the embedded one of `gate serve`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gate.settings.base import Address, AddressText, Bytes, Seconds, Section, ShareText, restart
from gate.settings.orders import OrderSettings
from gate.settings.sync import ClientTls, Nats, PushTarget


class RegistryTls(Section):
    """Certificates of the registry's HTTPS port, as PEM files; read again when they change."""

    certificate: Path = Field(description="The server's certificate, with its chain.")
    key: Path = Field(description="The certificate's private key.")
    client_ca: Path | None = Field(
        None, description="Clients must show a certificate of this CA; null asks for none."
    )


class RegistrySettings(Section):
    """The filing registry that this machine runs, if it runs one."""

    listen: AddressText = Field(
        Address.model_construct(host="127.0.0.1", port=9465),
        description="HOST:PORT of the registry's API.",
        json_schema_extra=restart,
    )
    connections: int = Field(
        2_000,
        ge=4,
        description="Connections to the API at a time, one for each gate that pulls; over it, the "
        "longest silent ends. Never more than a quarter of the open files that are allowed.",
        json_schema_extra=restart,
    )
    database: str | None = Field(
        None,
        description="SQLite file, or postgresql://USER@HOST/NAME; null is `registry.db` in "
        "state_dir.",
        json_schema_extra=restart,
    )
    provider: str = Field(
        "gate",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$",
        description="This provider's id in access filings: a domain is `filed` if it has one "
        "with it, else `filed_elsewhere`.",
        json_schema_extra=restart,
    )
    keys_dir: Path | None = Field(
        None,
        description="Folder of the keys that sign changes; null is `keys` in state_dir.",
        json_schema_extra=restart,
    )
    tls: RegistryTls | None = Field(
        None,
        description="HTTPS for the API; null is plain HTTP, for loopback and behind a proxy.",
        json_schema_extra=restart,
    )
    push: tuple[PushTarget, ...] = Field(
        (),
        description="Gates that every change is pushed to.",
        json_schema_extra=restart,
    )
    push_tls: ClientTls | None = Field(
        None,
        description="The CA of the gates' https push ports, and the certificate to show them.",
        json_schema_extra=restart,
    )
    nats: Nats | None = Field(
        None,
        description="Publish every change to NATS JetStream; null for not.",
        json_schema_extra=restart,
    )
    keep_changes: int = Field(
        1_000_000,
        ge=1_000,
        description="Newest changes that the log keeps; a gate further behind takes a snapshot.",
        json_schema_extra=restart,
    )
    snapshot_seconds: Seconds = Field(
        300.0,
        ge=0,
        description="A snapshot is made anew for who asks when it is older than this, or far "
        "behind the log.",
        json_schema_extra=restart,
    )
    max_shrink: ShareText = Field(
        0.1,
        description="A set with fewer filed domains than were given out last, by more than this "
        "share (10%, 0.1) and unexplained by the log, waits for `gate registry accept-set`.",
        json_schema_extra=restart,
    )
    body_bytes: Bytes = Field(
        1_048_576,
        ge=16_384,
        description="Largest request body.",
        json_schema_extra=restart,
    )
    upload_bytes: Bytes = Field(
        2_147_483_648,
        ge=1_048_576,
        description="Largest file for a bulk import.",
        json_schema_extra=restart,
    )
    orders: OrderSettings = Field(
        OrderSettings.model_construct(),
        description="The filing workflow; see gate/docs/filing.md.",
    )
