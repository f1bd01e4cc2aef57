"""Licence numbers as a few bytes.

Ten million licence numbers (`gate.licence`) as text would take 300 MB; packed, those of the
present form take 8 bytes each.  Anything else is kept as UTF-8 text, so packing never loses a
character: what a number means, and whether it is one, is not asked here.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

_PROVINCES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼滇黔蜀陇秦"
"""Province abbreviations by their code, which is on disk: only ever append."""

_MAX_TEXT: Final = 100
_NUMBER = re.compile(
    rf"([{_PROVINCES}])ICP备([0-9]{{1,15}})号(?:-([1-9][0-9]{{0,8}})(A?))?"
).fullmatch


class Form(IntEnum):
    """How a packed licence is to be read; stored in a record's first byte."""

    NONE = 0
    SUBJECT = 1
    WEBSITE = 2
    APP = 3
    TEXT = 4


def pack(licence: str) -> tuple[Form, bytes]:
    """Return the form and the packed bytes of a licence number (or of any other text).

    Raises ValueError for a text that is no single printable line of at most 100 characters.
    """
    if not licence:
        return Form.NONE, b""
    match = _NUMBER(licence)
    if match is None:
        if len(licence) > _MAX_TEXT or not licence.isprintable():
            raise ValueError(f"a licence is one printable line of at most {_MAX_TEXT} characters")
        return Form.TEXT, licence.encode()
    province, serial, site, app = match.groups()
    number = int(serial)
    size = (number.bit_length() + 7) // 8
    head = bytes((_PROVINCES.index(province), len(serial) << 4 | size))
    packed = head + number.to_bytes(size, "big")
    if site is None:
        return Form.SUBJECT, packed
    site_number = int(site)
    packed += site_number.to_bytes((site_number.bit_length() + 7) // 8, "big")
    return (Form.APP if app else Form.WEBSITE), packed


def unpack(form: int, packed: bytes) -> str:
    """Return the text that `pack` was given.  Raises ValueError for bytes it never returned."""
    if form == Form.NONE:
        return ""
    if form == Form.TEXT:
        return packed.decode()
    if form > Form.TEXT:
        raise ValueError(f"a licence number of the unknown form {form}")
    try:
        province = _PROVINCES[packed[0]]
        digits, size = divmod(packed[1], 16)
    except IndexError as error:
        raise ValueError("a packed licence number is too short") from error
    serial = int.from_bytes(packed[2 : 2 + size], "big")
    text = f"{province}ICP备{serial:0{digits}d}号"
    if form == Form.SUBJECT:
        return text
    suffix = "A" if form == Form.APP else ""
    return f"{text}-{int.from_bytes(packed[2 + size :], 'big')}{suffix}"
