"""A clerk's list, written anew in the form that an import reads.

What a registry exports, and NDJSON, are imported as they are. Anything else is read by
`gate.lists`: any usual encoding, separator, header, or a spreadsheet. It is written anew row by
row, always alike, so that an import that was interrupted goes on when the same list is given again.
What the registry then says of a row is told by the list's own row and column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import IO, BinaryIO, Final

from gate.lists import FIELDS, Found, ListError, ListRow, NoHeader, offered_domain, read_file
from gate.lists.reading import MAX_BYTES
from gate.registry.bulk.files import MAX_LINE, FileFormat, read_header
from gate.registry.bulk.filing_row import COLUMNS
from gate.registry.errors import RegistryError, Said

_OWN: Final = ",".join(COLUMNS[:5]).encode()
"""What the header of an export begins with."""
_BOM: Final = b"\xef\xbb\xbf"
_SHOWN: Final = 5
_FIELD_OF: Final = (
    # What a refusal's code is about.
    ("domain", "domain"),
    ("website", "domain"),
    ("licence", "licence"),
    ("province", "licence"),
    ("account", "account"),
    ("certificate", "certificate"),
    ("status", "status"),
    ("service_status", "status"),
    ("service_name", "service"),
)
_ABOUT_A_FIELD: Final = frozenset({"field_invalid", "text_invalid", "column_empty"})
_NAMED: Final = re.compile("|".join(sorted(FIELDS, key=len, reverse=True)))
_NEEDED: Final = {"domain": "域名", "licence": "备案号", "subject": "主体名称"}


@dataclass(slots=True, frozen=True)
class TakenList:
    """How a file is imported, and what its clerk is to know beforehand."""

    form: FileFormat
    read_as: str = ""
    """What a list was found to be; "" where it is taken as it is."""
    remarks: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Words:
    """How to tell of a list's rows."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """By field, the column's header as the list has it."""
    is_sheet: bool = False

    def told(self, row: int, error: RegistryError) -> tuple[str, str]:
        """Return a refusal in the list's own words, in Chinese and English."""
        column = self.headers.get(_column(error), "")
        place = Said(f"第 {row} 行", f"{'row' if self.is_sheet else 'line'} {row}")
        if column:
            place = Said(f"{place.zh}“{column}”列", f"{place.en}, column {column!r}")
        zh, en = error.zh, error.en
        if error.code == "line_invalid":
            zh, en = _fault(error)
        elif error.code in _ABOUT_A_FIELD:
            zh, en = self._headed(zh), self._headed(en)
        return f"{place.zh}：{zh}", f"{place.en}: {en}"

    def _headed(self, text: str) -> str:
        """Return a text with the list's own headers for the names of the columns."""
        return _NAMED.sub(lambda name: self.headers.get(name[0], name[0]), text)


def plain_form(path: Path, said: FileFormat | None, *, most: int = MAX_BYTES) -> FileFormat | None:
    """Return the format of a file that is imported as it is; None for a list to be written anew.

    `said` is what the sender called it. A list of more than `most` bytes must be as it is.
    Raises RegistryError `list_unreadable`, OSError.
    """
    if said is FileFormat.NDJSON:
        return said
    with path.open("rb") as file:
        begin = file.read(1_000).removeprefix(_BOM).lstrip()
        if begin.startswith(b"{"):
            return FileFormat.NDJSON
        if begin.startswith(_OWN):
            return FileFormat.CSV
        if path.stat().st_size <= most:
            return None
        file.seek(0)
        try:
            read_header(file)
        except RegistryError as error:
            raise RegistryError(
                "list_unreadable",
                detail=Said(
                    f"文件超过 {most >> 20} MiB；请分成几个，或另存为 UTF-8 的 CSV，首行为 "
                    f"{','.join(COLUMNS)}",
                    f"it is over {most >> 20} MiB; cut it into several, or save it as CSV in "
                    f"UTF-8 whose first line is {','.join(COLUMNS)}",
                ),
            ) from error
    return FileFormat.CSV


def write_list(path: Path, file: IO[bytes], *, registrable: bool) -> TakenList:
    """Write a list anew; `registrable` takes example.cn for www.example.cn.

    Raises RegistryError `header_invalid` or `list_unreadable`, OSError.
    """
    try:
        found = read_file(path.read_bytes(), headed=True)
        _check_columns(found)
    except ListError as error:
        code = "header_invalid" if isinstance(error, NoHeader) else "list_unreadable"
        raise RegistryError(code, detail=Said(error.zh, error.en)) from error
    headers = {one.field: one.header for one in found.columns if one.field}
    file.write(_line({"headers": headers, "is_sheet": found.is_sheet}))
    below: list[tuple[int, str, str]] = []
    for number, rows in groupby(found.rows, lambda row: row.number):
        file.write(_row(number, list(rows), below, registrable=registrable))
    return TakenList(FileFormat.LIST, found.kind, tuple(_remarks(found, below, registrable)))


def words_of(file: BinaryIO, form: FileFormat) -> Words | None:
    """Return how to tell of a file's lines; None where the number is all there is to it."""
    if form is not FileFormat.LIST:
        return None
    file.seek(0)
    return Words(**json.loads(file.readline()))


def _check_columns(found: Found) -> None:
    """Raise NoHeader if a column is missing without which no filing can be told."""
    there = {column.field for column in found.columns}
    missing = [name for name in _NEEDED if name not in there]
    if missing:
        headers = "、".join(column.header for column in found.columns if column.header)
        raise NoHeader(
            f"表头缺少：{'、'.join(_NEEDED[name] for name in missing)}；现有表头：{headers}",
            f"the header has no column for {', '.join(missing)}; it has {headers}",
        )


def _row(
    number: int, rows: list[ListRow], below: list[tuple[int, str, str]], *, registrable: bool
) -> bytes:
    """Return one row as a line; note the domains in it that lie below a registrable one."""
    fault = rows[0].fault
    if fault is None:
        values = {name: " ".join(text.split()) for name, text in rows[0].values.items()}
        domains = []
        for row in rows:
            domain = " ".join(row.values.get("domain", "").split())
            above = offered_domain(domain)
            if above is not None:
                below.append((number, domain, above))
                domain = above if registrable else domain
            domains.append(domain)
        line = _line((number, values | {"domain": domains[0]}, domains[1:]))
        if len(line) <= MAX_LINE:
            return line
        fault = ListError(f"超过 {MAX_LINE} 字节", f"it is longer than {MAX_LINE} bytes")
    return _line((number, fault.zh, fault.en))


def _line(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _remarks(found: Found, below: list[tuple[int, str, str]], registrable: bool) -> Iterator[str]:
    if found.ignored:
        headers = "、".join(found.ignored)
        yield f"未使用的列：{headers} / columns that were not used: {headers}"
    for number, name, above in below[:_SHOWN]:
        zh, en = found.where(number, "domain")
        yield (
            f"{zh}：{name} 应按 {above} 备案 / "
            f"{en}: {name} lies below {above}, which is what is filed"
        )
    count = len(below)
    if count and registrable:
        yield f"{count} 个名称已改为可备案域名 / {count} names are taken as the registrable domain"
    elif count:
        yield (
            f"{count} 个名称低于可备案域名，按原样导入；加 --registrable 则改为可备案域名 / "
            f"{count} names lie below a registrable domain and are taken as written; give "
            "--registrable to take that instead"
        )


def _fault(error: RegistryError) -> Said:
    """Return what is wrong with a row that could not be read."""
    detail = error.details["detail"]
    return detail if isinstance(detail, Said) else Said(str(detail), str(detail))


def _column(error: RegistryError) -> str:
    """Return the field that a refusal is about; "" where that cannot be told."""
    for beginning, name in _FIELD_OF:
        if error.code.startswith(beginning):
            return name
    named = _NAMED.search(error.en)
    return named[0] if named and error.code in _ABOUT_A_FIELD else ""
