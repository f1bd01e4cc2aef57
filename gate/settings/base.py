"""What the sections of the settings are made of: the closed model, and addresses."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

restart: dict[str, Any] = {"restart": True}
"""Marks a field that is fixed while the gate runs (see `gate.settings.reload`)."""


class Section(BaseModel):
    """A part of the settings: immutable, and an unknown key is an error.

    Pydantic builds what validates one when that is used first: the settings as a whole at a start,
    no section by itself. So a section that is a default is constructed, not validated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class Address(Section):
    """A host (IPv4 or IPv6 literal, or a name) and a port."""

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
    if "/" in value:
        raise ValueError(
            f"{value!r} is no address but a URL or path; write HOST:PORT alone, 10.0.0.1:80"
        )
    host, colon, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or not colon or not port.isascii() or not port.isdigit():
        raise ValueError(f"{value!r} is not HOST:PORT; write 127.0.0.1:8080 or [::1]:8080")
    if ":" in host and not bracketed:
        raise ValueError(f"{value!r}: an IPv6 address stands in brackets; write [::1]:8080")
    if int(port) > 65535:
        raise ValueError(f"{value!r}: a port is at most 65535")
    host = host.strip("[]")
    if not _is_host(host):
        raise ValueError(f"{value!r}: {host!r} is neither an IP address nor a host's name")
    return {"host": host, "port": int(port)}


def _is_host(text: str) -> bool:
    """Return whether the system's resolver can be asked for a host at all."""
    if ":" in text:
        try:
            ip_address(text)
        except ValueError:
            return False
        return True
    try:
        return not any(map(str.isspace, text)) and bool(text.encode("idna"))
    except UnicodeError:  # a label that is empty, or over 63 octets
        return False


_LENGTHS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION: Final = re.compile(r"(?:\d{1,9}[smhdw])+").fullmatch
_PART: Final = re.compile(r"(\d+)([smhdw])")
_SIZE: Final = re.compile(r"(\d{1,9})\s?([KMGT])iB").fullmatch


def parse_duration(value: object) -> object:
    """Return the seconds of a text such as `90s`, `30m` or `1h30m`; anything else as it is."""
    if not isinstance(value, str) or _DURATION(value) is None:
        return value
    return sum(int(count) * _LENGTHS[unit] for count, unit in _PART.findall(value))


def parse_size(value: object) -> object:
    """Return the bytes of a text such as `64KiB` or `2 GiB`; anything else as it is."""
    found = _SIZE(value) if isinstance(value, str) else None
    if found is None:
        return value
    return int(found[1]) << 10 * ("KMGT".index(found[2]) + 1)


def parse_share(value: object) -> float:
    """Return a share from 0 to 1, written as `10%`, `10 %` or `0.1`. Raises ValueError."""
    text = str(value).strip()
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"{value!r} is no share; write 10% or 0.1")
    return share


Seconds = Annotated[float, BeforeValidator(parse_duration)]
Bytes = Annotated[int, BeforeValidator(parse_size)]
ShareText = Annotated[float, BeforeValidator(parse_share)]
AddressText = Annotated[Address, BeforeValidator(_parse_address)]
