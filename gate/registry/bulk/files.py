"""Reading and writing files of filings, line by line.

One line is one filing, also in CSV: no column may hold a line break, so a quote that is left open
spoils one line and not the rest of the file. Lines are numbered from 1, the CSV header included,
and every line comes with the position in bytes after it, so that an import can go on from there.

What clerks have is written anew first (`gate.registry.bulk.clerks`), as `FileFormat.LIST`: a line
of JSON that tells of the list, then one for each of its rows, with the row's own number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from gate.registry.bulk.filing_row import CHINESE, COLUMNS, REQUIRED
from gate.registry.errors import RegistryError, Said

MAX_LINE: Final = 65_536
"""Bytes of one line."""

_BOM: Final = b"\xef\xbb\xbf"


class FileFormat(StrEnum):
    """CSV with a header, one JSON object a line, or a clerk's list written anew."""

    CSV = "csv"
    NDJSON = "ndjson"
    LIST = "list"


EXPORTED: Final = (FileFormat.CSV, FileFormat.NDJSON)
"""What an export is written in."""


@dataclass(slots=True, frozen=True)
class Line:
    """One line: its number, the bytes of the file up to its end, and its columns or its fault.

    `more` are further domains of the row of a list that has several in one cell.
    """

    number: int
    end: int
    values: Mapping[str, str] | RegistryError
    more: Sequence[str] = ()

    def filings(self) -> Iterator[Mapping[str, str] | RegistryError]:
        """Yield the columns of each filing, or the line's fault."""
        yield self.values
        if not isinstance(self.values, RegistryError):
            for domain in self.more:
                yield {**self.values, "domain": domain}


def guess_format(name: str) -> FileFormat:
    """By a file's name: `.ndjson`, `.jsonl` and `.json` are NDJSON, anything else is CSV."""
    suffix = Path(name).suffix.lower()
    return FileFormat.NDJSON if suffix in {".ndjson", ".jsonl", ".json"} else FileFormat.CSV


def read_lines(
    file: BinaryIO, form: FileFormat, *, offset: int = 0, number: int = 0
) -> Iterator[Line]:
    """Yield the lines of a file after `offset` bytes, which hold `number` lines.

    Blank lines are passed over. Raises RegistryError `header_invalid` for a CSV file without a
    usable header.
    """
    file.seek(0)
    if form is FileFormat.LIST:
        yield from _list_lines(file, offset)
        return
    header: Sequence[str] = ()
    if form is FileFormat.CSV:
        header = read_header(file)
        if offset == 0:
            offset, number = file.tell(), 1
    if offset:
        file.seek(offset)
    elif file.read(3) != _BOM:
        file.seek(0)
    else:
        offset = 3
    while raw := file.readline(MAX_LINE + 1):
        number += 1
        offset += len(raw)
        if len(raw) > MAX_LINE and not raw.endswith(b"\n"):
            offset += _skip_line(file)
            yield Line(
                number,
                offset,
                line_fault(Said(f"超过 {MAX_LINE} 字节", f"it is longer than {MAX_LINE} bytes")),
            )
            continue
        text = raw.rstrip(b"\r\n")
        if not text.strip():
            continue
        try:
            values = _csv_row(text, header) if header else _json_row(text)
        except RegistryError as error:
            yield Line(number, offset, error)
        else:
            yield Line(number, offset, values)


def _list_lines(file: BinaryIO, offset: int) -> Iterator[Line]:
    """Yield the rows of a list after `offset` bytes; see `write_list` in `clerks.py`."""
    file.readline()  # what the list is
    if offset:
        file.seek(offset)
    offset = file.tell()
    while raw := file.readline():
        offset += len(raw)
        number, values, more = json.loads(raw)
        if isinstance(values, str):
            yield Line(number, offset, line_fault(Said(values, more)))
        else:
            yield Line(number, offset, values, more)


def write_row(form: FileFormat, values: Mapping[str, str]) -> bytes:
    """Return one filing as a line of a file."""
    if form is FileFormat.NDJSON:
        row = {column: text for column, text in values.items() if text}
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([values[column] for column in COLUMNS])
    return out.getvalue().encode()


def write_header(form: FileFormat) -> bytes:
    """Return what a file of filings begins with."""
    return (",".join(COLUMNS) + "\n").encode() if form is FileFormat.CSV else b""


def read_header(file: BinaryIO) -> list[str]:
    """Return the columns of a CSV file. Raises RegistryError `header_invalid`."""
    raw = file.readline(MAX_LINE + 1).removeprefix(_BOM).rstrip(b"\r\n")
    try:
        names = [name.strip().lower() for name in next(csv.reader([raw.decode()], strict=True), [])]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RegistryError("header_invalid", detail=str(error)) from error
    columns = [CHINESE.get(name, name) for name in names]
    for column in columns:
        if column not in COLUMNS:
            raise RegistryError("header_invalid", detail=_unknown(column))
        if columns.count(column) > 1:
            raise RegistryError(
                "header_invalid", detail=Said(f"列 {column} 重复", f"{column} stands there twice")
            )
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise RegistryError(
            "header_invalid",
            detail=Said("缺少 " + "、".join(missing), "missing: " + ", ".join(missing)),
        )
    return columns


def _csv_row(raw: bytes, header: Sequence[str]) -> dict[str, str]:
    text = _decode(raw)
    if '"' in text:
        try:
            row = next(csv.reader([text], strict=True))
        except csv.Error as error:
            raise line_fault(str(error)) from error
    else:
        row = text.split(",")
    if len(row) != len(header):
        raise line_fault(
            Said(
                f"{len(row)} 列，应为 {len(header)} 列",
                f"{len(row)} columns; {len(header)} are due",
            )
        )
    return dict(zip(header, row, strict=True))


def _json_row(raw: bytes) -> dict[str, str]:
    try:
        row = json.loads(_decode(raw))
    except (ValueError, RecursionError) as error:
        raise line_fault(f"JSON: {error}") from error
    if not isinstance(row, dict):
        raise line_fault(Said("应为 JSON 对象", "a JSON object is due"))
    for column, value in row.items():
        if column not in COLUMNS:
            raise line_fault(_unknown(column))
        if not isinstance(value, str):
            raise line_fault(Said(f"“{column}”应为文本", f"{column} must be a string"))
    return row


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise line_fault(
            Said("不是 UTF-8 编码，请另存为 UTF-8", "not UTF-8; save it as such")
        ) from error


def _skip_line(file: BinaryIO) -> int:
    skipped = 0
    while raw := file.readline(MAX_LINE):
        skipped += len(raw)
        if raw.endswith(b"\n"):
            break
    return skipped


def _unknown(column: str) -> Said:
    return Said(f"未知列 {column[:40]!r}", f"unknown column {column[:40]!r}")


def line_fault(detail: str | Said) -> RegistryError:
    """Return what is wrong with a line that cannot be read."""
    return RegistryError("line_invalid", detail=detail)
