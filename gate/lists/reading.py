"""Reading a file into rows: sheet, separator, header.

The header is the first row that names a domain column, among the first ten: a title or a date may
stand above it. A list without a header is one of domains alone, one a line.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from gate.lists.columns import FIELDS, Column, column_of
from gate.lists.encoding import decode
from gate.lists.errors import ListError, NoHeader, UnreadableList
from gate.lists.values import plain_domain, plain_value

MAX_BYTES: Final = 512 << 20
"""Of a file that is read as a whole."""
_SEPARATORS: Final = {
    ",": "逗号 / comma",
    ";": "分号 / semicolon",
    "，": "全角逗号 / full-width comma",
    "；": "全角分号 / full-width semicolon",
    "\t": "制表符 / tab",
}
_HEADER_WITHIN: Final = 10
_CELL_LINES: Final = 20
"""Lines that one quoted cell may go on for."""
_SHEETS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")  # xlsx, ods; xls


@dataclass(slots=True, frozen=True)
class ListRow:
    """One filing of a list; one row may name several domains, and gives as many of these."""

    number: int
    """Line or sheet row, from 1."""
    values: dict[str, str]
    """By field, as the program spells them; those that are there."""
    written: str
    """The row as it is written, for a message."""
    fault: ListError | None = None
    """Why it cannot be read."""


@dataclass(slots=True)
class Found:
    """What a file was found to be, and its rows."""

    kind: str
    """For people: `GB18030, 逗号 / comma` or `xlsx, 工作表 / sheet 备案`."""
    columns: Sequence[Column]
    rows: Iterator[ListRow]
    header_row: int
    ignored: Sequence[str] = field(default_factory=tuple)
    """Headers that mean nothing here."""
    is_sheet: bool = False
    size: int = 0
    """Lines or rows of the file."""

    def where(self, number: int, name: str) -> tuple[str, str]:
        """Return the place of a field in a row, in Chinese and English, in the file's own words."""
        column = next((one for one in self.columns if one.field == name and one.header), None)
        unit = "row" if self.is_sheet else "line"
        if column is None:
            return f"第 {number} 行", f"{unit} {number}"
        return f"第 {number} 行“{column.header}”列", f"{unit} {number}, column {column.header!r}"


def read_file(data: bytes, *, headed: bool = False) -> Found:
    """Return what is in a file; `headed` wants a header. Raises UnreadableList."""
    if len(data) > MAX_BYTES:
        raise UnreadableList(
            f"文件超过 {MAX_BYTES >> 20} MiB，请分成几个",
            f"the file is over {MAX_BYTES >> 20} MiB; cut it into several",
        )
    if data.startswith(_SHEETS):
        return _read_sheets(data)
    return _read_text(data, headed=headed)


# Text.


def _read_text(data: bytes, *, headed: bool) -> Found:
    decoded = decode(data)
    lines = decoded.lines
    head = [line or "" for line in lines[: 4 * _HEADER_WITHIN]]
    first = next(iter(_first_rows(head)), "")
    if first.lstrip().startswith("{"):
        return _found(
            "NDJSON", [Column(name, name, 0) for name in FIELDS], _json_rows(lines), 0, len(lines)
        )
    for number, line in enumerate(_first_rows(head), 1):
        for separator in _SEPARATORS:
            columns = _header(_cells(line, separator))
            if columns is not None and (len(columns) > 1 or separator == ","):
                kind = decoded.encoding
                if len(columns) > 1:
                    kind += f", {_SEPARATORS[separator]}"
                at = head.index(line) + 1
                rows = _text_rows(lines, at, separator, columns)
                return _found(kind, columns, rows, at, len(lines))
        if number >= _HEADER_WITHIN:
            break
    if first and (headed or any(separator in first for separator in _SEPARATORS)):
        raise _headless(first)
    columns = [Column("", "domain", 0)]
    return _found(decoded.encoding, columns, _domain_rows(lines), 0, len(lines))


def _first_rows(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return []


def _header(cells: Sequence[str]) -> list[Column] | None:
    """Return the columns that a row names, if it is a header."""
    columns = [column_of(cell, place) for place, cell in enumerate(cells)]
    fields = [column.field for column in columns if column.field]
    if "domain" not in fields:
        return None
    twice = next((name for name in fields if fields.count(name) > 1), None)
    if twice is not None:
        headers = [column.header for column in columns if column.field == twice]
        shown = "、".join(headers)
        raise NoHeader(
            f"表头的 {shown} 含义相同，请只保留一列",
            f"the headers {', '.join(headers)} mean the same; keep one of these columns",
        )
    return columns


def _headless(line: str) -> NoHeader:
    return NoHeader(
        f"找不到表头：前 {_HEADER_WITHIN} 行中没有“域名”列。第一行是 {line[:80]!r}；"
        "请加上表头，如：域名,备案号,主体名称",
        f"there is no header: none of the first {_HEADER_WITHIN} rows names a domain column. The "
        f"first is {line[:80]!r}; write one, like domain,licence,subject",
    )


def _found(
    kind: str, columns: Sequence[Column], rows: Iterator[ListRow], at: int, size: int
) -> Found:
    ignored = tuple(column.header for column in columns if not column.field and column.header)
    return Found(kind, columns, rows, at, ignored, size=size)


def _domain_rows(lines: Sequence[str | None]) -> Iterator[ListRow]:
    for number, line in enumerate(lines, 1):
        if line is None:
            yield _undecodable(number)
        elif line.strip() and not line.lstrip().startswith("#"):
            for domain in plain_domain(line):
                yield ListRow(number, {"domain": domain}, line.strip()[:100])


def _undecodable(number: int) -> ListRow:
    return ListRow(
        number,
        {},
        "",
        ListError("无法识别的编码，请另存为 UTF-8", "of no known encoding; save it as UTF-8"),
    )


def _text_rows(
    lines: Sequence[str | None], before: int, separator: str, columns: Sequence[Column]
) -> Iterator[ListRow]:
    """Yield the rows below a header that is on line `before`.

    A quoted cell may go over several lines; a quote that is left open spoils its own line alone.
    """
    at = before
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        if line is None:
            yield _undecodable(number)
            continue
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = _cut_row(line, separator, len(columns))
        if isinstance(cells, ListError) and line.count('"') % 2:
            for more in range(1, _CELL_LINES + 1):
                several = [one for one in lines[at - 1 : at + more] if one is not None]
                joined = _cut_row("\n".join(several), separator, len(columns))
                if not isinstance(joined, ListError):
                    cells, at = joined, at + more
                    break
        if isinstance(cells, ListError):
            yield ListRow(number, {}, line.strip()[:100], cells)
        else:
            yield from _rows(number, cells, columns, line.strip()[:100])


def _cut_row(line: str, separator: str, due: int) -> list[str] | ListError:
    """Return the cells of a row; it may have another separator than the header."""
    problem: ListError | None = None
    for one in (separator, *(other for other in _SEPARATORS if other != separator)):
        if one not in line and due > 1:
            continue
        try:
            cells = next(csv.reader(io.StringIO(line), delimiter=one, strict=True), [])
        except csv.Error:
            problem = problem or ListError(
                "引号没有配对", "a quote is not closed; check the quotes"
            )
            continue
        while len(cells) > due and not cells[-1].strip():
            cells.pop()
        if len(cells) == due:
            return cells
        problem = problem or ListError(
            f"{len(cells)} 列，应为 {due} 列", f"{len(cells)} columns; {due} are due"
        )
    return problem or ListError(f"1 列，应为 {due} 列", f"1 column; {due} are due")


def _json_rows(lines: Sequence[str | None]) -> Iterator[ListRow]:
    """Yield the rows of one JSON object a line, as `gate registry export` writes them."""
    for number, line in enumerate(lines, 1):
        if line is None:
            yield _undecodable(number)
        elif line.strip():
            try:
                row = json.loads(line)
                values = {name: plain_value(name, row[name]) for name in FIELDS if row.get(name)}
            except (ValueError, AttributeError, TypeError, RecursionError):
                fault = ListError("不是 JSON 对象", "no JSON object with texts")
                yield ListRow(number, {}, line.strip()[:100], fault)
                continue
            for domain in plain_domain(values.get("domain", "")):
                yield ListRow(number, values | {"domain": domain}, line.strip()[:100])


def _rows(
    number: int, cells: Sequence[str], columns: Sequence[Column], written: str
) -> Iterator[ListRow]:
    """Yield the filings of one row, one for each domain that it names."""
    values: dict[str, str] = {}
    for column in columns:
        text = cells[column.place] if column.place < len(cells) else ""
        if column.field and text.strip():
            values[column.field] = plain_value(column.field, text)
    for domain in plain_domain(values.get("domain", "")):
        yield ListRow(number, values | {"domain": domain}, written)


# Sheets.


def _read_sheets(data: bytes) -> Found:
    _check_unpacked(data)
    from python_calamine import CalamineError, CalamineWorkbook  # half of a clerk's lists need none

    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        names = list(book.sheet_names)
        sheets = [
            (name, book.get_sheet_by_name(name).to_python(skip_empty_area=False)) for name in names
        ]
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableList(
            f"无法读取的电子表格（{error}），请另存为 xlsx 或 CSV",
            f"the spreadsheet cannot be read ({error}); save it as xlsx or CSV",
        ) from error
    for name, table in sheets:
        for at, row in enumerate(table[:_HEADER_WITHIN], 1):
            columns = _header([_text(cell) for cell in row])
            if columns is not None:
                kind = f"电子表格 / spreadsheet, 工作表 / sheet {name!r}"
                found = _found(kind, columns, _sheet_rows(table[at:], at, columns), at, len(table))
                found.is_sheet = True
                return found
    first = next((row for _, table in sheets for row in table if any(row)), [])
    raise _headless(" | ".join(_text(cell) for cell in first))


def _check_unpacked(data: bytes) -> None:
    """Raise UnreadableList if a sheet is over the limit once it is unpacked."""
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise UnreadableList(
                f"解压后超过 {MAX_BYTES >> 20} MiB，请分成几个",
                f"it is over {MAX_BYTES >> 20} MiB when unpacked; cut it into several",
            )


def _sheet_rows(
    table: Sequence[Sequence[Any]], before: int, columns: Sequence[Column]
) -> Iterator[ListRow]:
    for number, row in enumerate(table, before + 1):
        cells = [_text(cell) for cell in row]
        written = " | ".join(cell for cell in cells if cell)[:100]
        if written and not written.startswith("#"):
            yield from _rows(number, cells, columns, written)


def _text(cell: Any) -> str:
    """Return a cell's value as a person reads it."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    return str(cell).strip()
