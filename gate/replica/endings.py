"""Records that end by themselves: what a domain is until a time, and what it is from then on.

A registry's decision for every gate (an exemption, a suspension) that has an end says so in the
text beside the status, which otherwise is the licence number::

    filed      exempt until 2026-09-21T15:13:20Z
    suspended  until 2026-09-21T15:13:20Z absent
    filed      until 2026-09-21T15:13:20Z filed_elsewhere 京ICP备12345678号-1
    suspended  until 2026-09-21T15:13:20Z filed 鲁ICP备09090609号-1

The first has the domain be absent afterwards, as all exemptions of older registries are read. The
registry sends the end as a change of its own; a gate that hears nothing of its registry by then
makes it by its own clock. A gate of an older program takes the text for a number and waits for the
registry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

import lmdb

from gate.filings import Status
from gate.replica.packing import Form
from gate.replica.records import FILED, STATUS_MASK, SUSPENDED, TOMBSTONE, encode, licence_of

MOST_TEXT: Final = 64
"""Characters of the text, as a batch takes them (`gate.changes.batch`)."""

_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_TEXT: Final = re.compile(
    r"(?:exempt )?until ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)"
    r"(?: (filed|filed_elsewhere|suspended|absent)(?: (.+))?)?"
).fullmatch
_TIME: Final = 8  # bytes of a key before the domain
_BEGINS: Final = (b"exempt until ", b"until ")
_DECISIVE: Final = (FILED, SUSPENDED)


@dataclass(slots=True, frozen=True)
class Ending:
    """At the Unix time `until` a domain gets another status and licence number."""

    until: int
    status: Status
    licence: str = ""

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return what the text beside a status says; None for a licence number."""
        found = _TEXT(text)
        if found is None:
            return None
        try:
            until = datetime.strptime(found[1], _FORMAT).replace(tzinfo=UTC)
        except ValueError:
            return None
        status = Status.ABSENT if found[2] is None else Status(found[2])
        return cls(int(until.timestamp()), status, found[3] or "")

    def beside(self, status: Status) -> str:
        """Return the text beside the status until then; a number without room in it is left out."""
        until = datetime.fromtimestamp(self.until, UTC).strftime(_FORMAT)
        if (status, self.status) == (Status.FILED, Status.ABSENT):
            return f"exempt until {until}"
        short = f"until {until} {self.status.value}"
        text = f"{short} {self.licence}" if self.licence else short
        return text if len(text) <= MOST_TEXT else short

    def record(self) -> bytes:
        """Return the record of a domain from then on."""
        if self.status is Status.ABSENT:
            return TOMBSTONE
        return encode(self.status, self.licence)


def ending_of(value: bytes) -> Ending | None:
    """Return what a record becomes by itself; None for one that stays."""
    if value[0] & STATUS_MASK not in _DECISIVE or value[0] >> 4 != Form.TEXT:
        return None
    return Ending.read(licence_of(value)) if value.startswith(_BEGINS, 1) else None


def key_of(domain: bytes, value: bytes) -> bytes | None:
    """Return a record's place among those that end, in order of time; None for one that stays."""
    ending = ending_of(value)
    return None if ending is None else ending.until.to_bytes(_TIME, "big") + domain


def due(
    txn: lmdb.Transaction[bytes], ends: lmdb._Database, now: float
) -> list[tuple[bytes, bytes]]:
    """Return the keys of what ends by `now`, each with its domain, the first to end first."""
    found = []
    for key in txn.cursor(ends).iternext(values=False):
        if int.from_bytes(key[:_TIME], "big") > now:
            break
        found.append((key, key[_TIME:]))
    return found


def first(txn: lmdb.Transaction[bytes], ends: lmdb._Database) -> int | None:
    """Return the Unix time at which something ends next."""
    cursor = txn.cursor(ends)
    return int.from_bytes(cursor.key()[:_TIME], "big") if cursor.first() else None
