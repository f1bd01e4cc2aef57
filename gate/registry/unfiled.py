"""Blocked names that visitors ask for, as gates report them and as the registry lists them.

They tell whom to remind: who never filed, and who was cut off.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from gate.net.model import Model
from gate.policy.verdict import REMINDED

MAX_NAMES: Final = 1_000
"""Names of one report."""
MAX_DESTINATIONS: Final = 8
"""Addresses of one name: in a report, at a gate, and in a list."""
_MAX_COUNT: Final = 10**9
_MOST_COUNTED: Final = 10**15
_MAX_TIME: Final = 2**53
_FIELDS: Final = ("name", "display", "reason", "count", "first_seen", "last_seen")
_COLUMNS: Final = (*_FIELDS, "gates", "first_seen_at", "last_seen_at", "destinations")
_PIECE: Final = 1_000

Seconds = Annotated[int, Field(ge=0, le=_MAX_TIME, strict=True, description="Unix seconds")]


class Sort(StrEnum):
    """What comes first: most requests, latest request, or by name."""

    COUNT = "count"
    LAST_SEEN = "last_seen"
    NAME = "name"


class UnfiledDestination(Model):
    """An address that a blocked name was asked for at: that of who hosts it."""

    address: str = Field(max_length=64, description="ADDRESS:PORT, [ADDRESS]:PORT for IPv6")
    count: int = Field(ge=1, le=_MOST_COUNTED, strict=True, description="an estimate")


class UnfiledName(Model):
    """One blocked name, and the requests for it since the gate's last report."""

    name: str = Field(max_length=1024, description="域名，A-label / A-label form")
    reason: str = Field(max_length=64, description=" | ".join(sorted(REMINDED)))
    count: int = Field(ge=1, le=_MAX_COUNT, strict=True)
    first_seen: Seconds
    last_seen: Seconds
    destinations: tuple[UnfiledDestination, ...] = Field(
        (),
        max_length=MAX_DESTINATIONS,
        description="主机地址 / where connections go to many destinations: the addresses that were "
        "asked most",
    )


class UnfiledReport(Model):
    """未备案域名上报 / what a gate has blocked since the last report that was taken."""

    gate: str = Field(min_length=1, max_length=64, description="网关编号 / the gate's id")
    names: tuple[UnfiledName, ...] = Field(max_length=MAX_NAMES)


class RefusedName(Model):
    """A name of a report that was not taken."""

    name: str
    error: str


class ReportTaken(Model):
    """How many names were taken; the others and why."""

    taken: int
    refused: tuple[RefusedName, ...]


class UnfiledAtGate(Model):
    """A blocked name at one gate. Times are Unix seconds."""

    gate: str
    reason: str
    count: int
    first_seen: int
    last_seen: int
    destinations: tuple[UnfiledDestination, ...] = ()


class UnfiledView(Model):
    """A blocked name over all gates; `reason` is the latest. Times are Unix seconds."""

    name: str = Field(description="A-label form")
    display: str = Field(description="U-label form, for people")
    reason: str
    count: int
    first_seen: int
    last_seen: int
    destinations: tuple[UnfiledDestination, ...] = Field(
        (), description="主机地址 / the addresses that were asked most, the most asked first"
    )
    gates: tuple[UnfiledAtGate, ...]


class UnfiledQuery(Model):
    """Which names; every part that is given must fit."""

    gate: str | None = Field(None, max_length=64, description="网关编号 / at this gate only")
    reason: str | None = Field(None, max_length=64, description="原因 / for this reason only")
    since: int | None = Field(
        None, ge=0, le=_MAX_TIME, description="此后有请求 / asked for since (Unix seconds)"
    )
    sort: Sort = Sort.COUNT


def write_csv(rows: Iterable[UnfiledView]) -> Iterator[str]:
    """Yield the rows as CSV with a header, in pieces of some hundred lines.

    Gates and addresses stand with spaces between them.
    Times are Unix seconds, and in the last columns ISO 8601 in UTC.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for number, row in enumerate(rows, 1):
        gates = " ".join(at.gate for at in row.gates)
        times = [_iso(row.first_seen), _iso(row.last_seen)]
        hosts = " ".join(at.address for at in row.destinations)
        writer.writerow([*(getattr(row, name) for name in _FIELDS), gates, *times, hosts])
        if number % _PIECE == 0:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def _iso(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
