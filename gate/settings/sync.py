"""Settings of the sync: where a gate has its filings from, and where a registry sends them to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gate.settings.base import AddressText, Seconds, Section, ShareText, restart

EMBEDDED: Final = "embedded"
NONE: Final = "none"


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is not a URL like https://registry.example.cn:9465")
    return text.rstrip("/")


def _source(text: str) -> str:
    return text if text in (EMBEDDED, NONE) else _url(text)


def _nats_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("nats", "tls") or not parts.hostname:
        raise ValueError(f"{text!r} is not a URL like nats://127.0.0.1:4222 or tls://HOST:4222")
    return text


Url = Annotated[str, AfterValidator(_url)]
NatsUrl = Annotated[str, AfterValidator(_nats_url)]


class ClientTls(Section):
    """Certificates of this side of a connection that it opens, PEM; read again on a change."""

    ca: Path = Field(description="The CA that the other side's certificate must be of.")
    certificate: Path | None = Field(None, description="The certificate that this side shows.")
    key: Path | None = Field(None, description="The certificate's private key.")

    @model_validator(mode="after")
    def _a_pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together; give both or neither")
        return self


class ServerTls(Section):
    """Certificates of a port that takes connections, PEM; read again on a change."""

    certificate: Path = Field(description="The server's certificate, with its chain.")
    key: Path = Field(description="The certificate's private key.")
    client_ca: Path = Field(description="Clients must show a certificate of this CA.")


class Nats(Section):
    """A NATS server with JetStream, between one registry and many gates."""

    servers: tuple[NatsUrl, ...] = Field(min_length=1, description="URLs of the servers.")
    stream: str = Field(
        "GATE_FILINGS",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="The JetStream stream; the registry makes it.",
    )
    subject: str = Field(
        "gate.filings",
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,7}$",
        description="The subject of this registry's batches.",
    )
    credentials: Path | None = Field(None, description="A NATS credentials file (.creds).")
    tls: ClientTls | None = Field(None, description="TLS to the server.")


class PushTarget(Section):
    """A gate that the registry pushes changes to."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="The gate's name in reports."
    )
    url: Url = Field(description="The gate's push port.")


class Push(Section):
    """The gate's port for changes that the registry pushes."""

    listen: AddressText = Field(description="HOST:PORT of the push port.")
    tls: ServerTls | None = Field(
        None, description="Mutual TLS; null is plain HTTP, refused beyond loopback."
    )
    connections: int = Field(
        100, ge=1, description="Connections to the push port at a time; more are closed at once."
    )

    @model_validator(mode="after")
    def _protected(self) -> Self:
        if self.tls is None and self.listen.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(
                f"the push port {self.listen} is not on loopback and has no tls section; give it "
                "certificates (`gate certs init` makes some to try)"
            )
        return self


class Sync(Section):
    """Where the filings come from."""

    registry: Annotated[str, AfterValidator(_source)] = Field(
        EMBEDDED,
        description="URL of the filing registry; `embedded` runs one with the gate (unless the "
        "replica was filled by `gate import`), `none` leaves the replica as it is.",
        json_schema_extra=restart,
    )
    token_file: Path | None = Field(
        None,
        description="File with a reader token of the registry.",
    )
    gate: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$",
        description="This gate's name when it tells the registry what it enforces; null is the "
        "machine's.",
        json_schema_extra=restart,
    )
    keys: Path | None = Field(
        None,
        description="The registry's public keys (its public.json); null is keys/public.json in "
        "state_dir. Read again when it changes.",
    )
    tls: ClientTls | None = Field(
        None,
        description="The CA of an https registry, and the certificate to show it; null trusts "
        "the system's CAs and shows none.",
    )
    pull: bool = Field(
        True,
        description="Follow the registry's changes by long poll. Without it they come by push or "
        "NATS, and only what was missed, and snapshots, are fetched.",
    )
    poll_seconds: Seconds = Field(
        25.0,
        gt=0,
        le=60,
        description="How long one long poll waits for a change.",
    )
    push: Push | None = Field(
        None,
        description="A port for changes that the registry pushes; null for none.",
    )
    nats: Nats | None = Field(None, description="Follow the registry through NATS; null for not.")
    stale_seconds: Seconds = Field(
        120.0,
        gt=0,
        description="Without word from the registry for this long the filings are called stale: "
        "logged, and shown in the metrics.",
    )
    unready_seconds: Seconds | None = Field(
        None,
        gt=0,
        description="Without word from the registry for this long the gate is not ready; null "
        "(the default) serves from the replica for as long as it takes.",
    )

    max_shrink: ShareText = Field(
        0.1,
        description="A snapshot that would close more than this share of the filed domains (10%, "
        "0.1) waits for an operator's `gate sync accept`; the old set serves until then.",
    )
    allow_empty: bool = Field(
        False,
        description="An empty registry is meant: a gate that has never had a filing is ready, and "
        "blocks every name.",
    )

    @model_validator(mode="after")
    def _has_snapshots(self) -> Self:
        if self.registry == NONE and (self.push is not None or self.nats is not None):
            raise ValueError(
                "push and nats need the registry's URL, too: that is where snapshots and missed "
                "changes come from"
            )
        if not self.pull and self.push is None and self.nats is None:
            raise ValueError("pull is off and neither push nor nats is set: no change would come")
        return self
