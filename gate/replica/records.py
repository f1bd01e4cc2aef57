"""The records of the replica and how they are written to disk.

A value is one status byte and the licence number, packed: province (index in the list of
abbreviations), subject serial, kind and serial of the service. Whatever does not fit that form
exactly is kept as text, so that nothing is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """A domain's filing state, as the registry's changes say it.

    `revoked` is never sent: it is what the replica keeps of a domain that was filed here and
    has become `absent`, so that the reason can be told.
    """

    filed = "filed"
    filed_elsewhere = "filed_elsewhere"
    suspended = "suspended"
    absent = "absent"
    revoked = "revoked"


@dataclass(slots=True, frozen=True)
class Filing:
    """One domain (canonical A-label name) with its status and licence number ("" if none)."""

    domain: str
    status: Status
    licence: str = ""


@dataclass(slots=True, frozen=True)
class Change:
    """A domain's new state; `time` is when the registry decided it, in Unix seconds."""

    domain: str
    status: Status
    licence: str
    time: int


@dataclass(slots=True, frozen=True)
class Position:
    """Where the replica stands in the registry's log; `updated_at` in Unix seconds."""

    epoch: str
    revision: int
    updated_at: float


_BY_CODE: Final = (
    Status.filed,
    Status.filed_elsewhere,
    Status.suspended,
    Status.revoked,
)
_CODES: Final = {status: code for code, status in enumerate(_BY_CODE)}
_REVOKED: Final = _CODES[Status.revoked]

# The order is part of the format on disk: only append.
_PROVINCES: Final = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新蜀黔滇陇"
_LICENCE: Final = re.compile(
    rf"([{_PROVINCES}])ICP备([0-9]{{1,12}})号(?:-([1-9][0-9]{{0,8}})(A?))?"
).fullmatch
_TEXT: Final = 0xFF


def pack(status: Status, licence: str) -> bytes:
    """The value on disk."""
    code = _CODES[status]
    if not licence:
        return bytes([code])
    found = _LICENCE(licence)
    if found is None:
        return bytes([code, _TEXT]) + licence.encode()
    province, serial, number, app = found.groups()
    # Leading zeros are part of a serial, so its length is kept with it.
    head = bytes([code, _PROVINCES.index(province), len(serial) << 1 | bool(app)])
    return head + _varint(int(serial)) + (_varint(int(number)) if number else b"")


def unpack(domain: str, value: bytes) -> Filing:
    """The record that was packed."""
    status = _BY_CODE[value[0]]
    if len(value) == 1:
        return Filing(domain, status)
    if value[1] == _TEXT:
        return Filing(domain, status, value[2:].decode())
    digits, app = value[2] >> 1, value[2] & 1
    serial, at = _read_varint(value, 3)
    licence = f"{_PROVINCES[value[1]]}ICP备{serial:0{digits}d}号"
    if at < len(value):
        number, _ = _read_varint(value, at)
        licence += f"-{number}{'A' if app else ''}"
    return Filing(domain, status, licence)


def is_tombstone(value: bytes) -> bool:
    """Whether a packed value only remembers that the domain was filed once."""
    return value[0] == _REVOKED


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(value: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = value[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return number, at
        shift += 7
