"""What the sections of the settings are made of: the closed model, and addresses."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

restart: dict[str, Any] = {"restart": True}
"""Marks a field that is fixed while the gate runs (see `gate.settings.reload`)."""


class Section(BaseModel):
    """A part of the settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Address(Section):
    """A host (IPv4 or IPv6 literal, or a name resolved at start) and a TCP port."""

    host: str
    port: int = Field(ge=0, le=65535)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _parse_address(value: object) -> object:
    """HOST:PORT -> the fields of an `Address`; a bad text raises ValueError."""
    if not isinstance(value, str):
        if isinstance(value, (Address, dict)):
            return value
        raise ValueError(f"{value!r} is not HOST:PORT; write 127.0.0.1:8080 or [::1]:8080")
    host, colon, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or not colon or not port.isascii() or not port.isdigit():
        raise ValueError(f"{value!r} is not HOST:PORT; write 127.0.0.1:8080 or [::1]:8080")
    if ":" in host and not bracketed:
        raise ValueError(f"{value!r}: an IPv6 address stands in brackets; write [::1]:8080")
    if int(port) > 65535:
        raise ValueError(f"{value!r}: a port is at most 65535")
    return {"host": host.strip("[]"), "port": int(port)}


AddressText = Annotated[Address, BeforeValidator(_parse_address)]
