"""Bytes of a text file, as lines of text, whatever wrote them.

UTF-8 is taken wherever it fits: text of another encoding hardly ever is valid UTF-8 (and never
where it is longer than a word). UTF-16 is known by its mark, or by the zero bytes of its ASCII. The
rest is GB18030, which has GBK and GB2312 in it. A file that was put together from two is read line
by line.
"""

from __future__ import annotations

import codecs
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMES: Final = {
    "utf-8-sig": "UTF-8 (BOM)",
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "gb18030": "GB18030",
}


@dataclass(slots=True, frozen=True)
class Decoded:
    """A file's text by lines, and the encoding's name; None for a line that is of no encoding."""

    lines: Sequence[str | None]
    encoding: str


def decode(data: bytes) -> Decoded:
    """Return the lines of a file, without their ends."""
    whole = _whole(data)
    if whole is not None:
        content, known = whole
        return Decoded(_cut(content), _NAMES[known])
    lines: list[str | None] = []
    seen = Counter[str]()
    for raw in data.removeprefix(codecs.BOM_UTF8).splitlines():
        text, encoding = _line(raw)
        lines.append(text)
        if text is not None and not raw.isascii():
            seen[_NAMES[encoding]] += 1
    return Decoded(lines, " + ".join(sorted(seen)) or "UTF-8")


def _line(raw: bytes) -> tuple[str | None, str]:
    """Return one line's text, None where there is none, and its encoding.

    A word of GB18030 may be UTF-8 by chance, and most of UTF-8 is GB18030: what reads as words that
    are in use is meant.
    """
    read: dict[str, str] = {}
    for encoding in ("utf-8", "gb18030"):
        with contextlib.suppress(UnicodeDecodeError):
            text = raw.decode(encoding)
            if _is_text(text):
                read[encoding] = text
    if not read:
        return None, ""
    best = max(read, key=lambda encoding: _in_use(read[encoding]))  # UTF-8, if both are as good
    return read[best], best


def _in_use(text: str) -> float:
    """Return the share of common Chinese characters (GB 2312, level 1) in what is not ASCII."""
    strange = [char for char in text if not char.isascii()]
    common = sum(b"\xb0" <= char.encode("gb2312", "ignore") < b"\xd8" for char in strange)
    return common / len(strange) if strange else 1.0


def _whole(data: bytes) -> tuple[str, str] | None:
    """Return the text of a file of one encoding that can be told at once, and which."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            guesses = [encoding]
            break
    else:
        guesses = ["utf-8"]
        if zeros := data[:400].count(0):
            low = data[1:400:2].count(0) >= data[0:400:2].count(0)
            guesses.append("utf-16-le" if low else "utf-16-be")
            if 5 * zeros >= len(data[:400]):  # fewer are a stray byte, unless nothing else fits
                guesses.reverse()
    for encoding in guesses:
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return None


def _cut(text: str) -> list[str]:
    """Return lines as text editors have them; form feeds and the like are no ends of lines."""
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")


def _is_text(text: str) -> bool:
    """Return whether it holds no control or private characters, as wrongly decoded text does."""
    return all(char.isprintable() or char in "\t\u3000\u00a0" for char in text)
