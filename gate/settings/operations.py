"""Settings of what operators see and use: the admin port, the log, the unfiled names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from gate.settings.base import Address, AddressText, Seconds, Section, restart
from gate.settings.registry import RegistryTls

LEAST_TOKEN: Final = 16

SECRET: Final[dict[str, Any]] = {"secret": True}
"""Marks a field whose value is shown nowhere (see `gate.settings.mask`)."""


def _token(text: str) -> str:
    # RFC 6750 2.1: what a bearer token may be made of, less "=".
    if len(text) < LEAST_TOKEN or not all(
        c.isascii() and (c.isalnum() or c in "-._~+/") for c in text
    ):
        raise ValueError(
            f"a token is {LEAST_TOKEN} or more letters, digits and -._~+/; "
            "`openssl rand -hex 32` makes one"
        )
    return text


class AdminTls(RegistryTls):
    """Certificates of the admin port, as PEM files; read again when they change."""


class Admin(Section):
    """The port for health checks, metrics and the admin API."""

    listen: AddressText = Field(
        Address.model_construct(host="127.0.0.1", port=9464),
        description="HOST:PORT of the admin API, the status page, /healthz, /readyz and /metrics. "
        "Keep it off public networks.",
        json_schema_extra=restart,
    )
    connections: int = Field(
        256,
        ge=1,
        description="Connections to the admin port at a time; over it, the longest silent ends.",
        json_schema_extra=restart,
    )
    tls: AdminTls | None = Field(
        None,
        description="HTTPS for the admin port; with client_ca, a client certificate stands for a "
        "token. Null is plain HTTP.",
        json_schema_extra=restart,
    )
    token: Annotated[str, AfterValidator(_token)] | None = Field(
        None,
        description="Bearer token for changes, best given as GATE_ADMIN__TOKEN. Null takes it from "
        "token_file.",
        json_schema_extra=SECRET,
    )
    token_file: Path | None = Field(
        None,
        description="File with the bearer token; null is `admin.token` in state_dir, which is made "
        "at the start if it is missing. Read again when it changes.",
    )
    open_reads: Literal["loopback", "everywhere", "nowhere"] = Field(
        "loopback",
        description="From where the API may be read without a token: loopback, everywhere or "
        "nowhere. Changes always need it; /healthz, /readyz and /metrics never do.",
    )


class AccessLog(Section):
    """Lines on single decisions."""

    sample: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the allowed decisions that get a line, 0 to 1. Every blocked one "
        "gets one, up to per_second.",
    )
    per_second: int = Field(
        100,
        ge=0,
        le=10_000,
        description="Most lines a second from one worker; what is over is counted, and told in one "
        "line a second. 0 writes none.",
    )
    client: Literal["full", "network", "none"] = Field(
        "full",
        description="The client's address in the lines: full, network (cut to /24, or /48 for "
        "IPv6) or none.",
    )


class LogSettings(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="Least severity that is written: debug, info, warning or error. Lines on "
        "decisions are info.",
    )
    format: Literal["console", "json"] = Field(
        "console", description="console for people, json for machines (one object a line)."
    )
    access: AccessLog = Field(AccessLog.model_construct(), description="Lines on single decisions.")


class ReportSettings(Section):
    """What the registry is told of the blocked names, so that their owners can be."""

    enabled: bool = Field(
        False, description="Report the blocked names to the registry that this gate follows."
    )
    seconds: Seconds = Field(300.0, ge=1, description="Time between two reports.")
    gate: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="The gate's name in the reports; null is `sync.gate`, else the machine's.",
    )


class TrafficReportSettings(Section):
    """Which filed domains had traffic, told to the registry by the day: names, and no client."""

    enabled: bool = Field(
        False,
        description="Tell the registry that this gate follows which filed domains were asked for, "
        "each a few times a day at most, so that it knows of filings without traffic.",
        json_schema_extra=restart,
    )
    seconds: Seconds = Field(
        60.0, ge=1, description="Time between two reports.", json_schema_extra=restart
    )
    names: int = Field(
        200_000,
        ge=1_000,
        le=5_000_000,
        description="Domains that wait for a registry that is away, about 100 bytes each; beyond, "
        "the day is reported as incomplete.",
        json_schema_extra=restart,
    )


class Unfiled(Section):
    """The table of blocked names that are asked for."""

    names: int = Field(
        20_000,
        ge=1_000,
        le=100_000,
        description="Rows that are kept (about 500 bytes each); for more, those with the fewest "
        "requests give way.",
    )
    keep_days: float = Field(
        30.0, gt=0, description="Days after which a name that nobody has asked for is forgotten."
    )
    report: ReportSettings = Field(
        ReportSettings.model_construct(), description="Whether the registry is told of them."
    )
