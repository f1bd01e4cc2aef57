"""Lists of filed domains, as text or CSV, for `gate import`.

Text is a domain a line. CSV has a header line that names its columns: `domain`, and optionally
`licence` and `status` (filed, filed_elsewhere, suspended, absent; filed where it is empty). In
both, blank lines and lines that begin with # are passed over. A domain may be written in Unicode
or with A-labels, in any case. A line that cannot be taken is refused with its number and the
reason; the others are taken.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from gate.names import InvalidName, canonical, check_fileable
from gate.registry.errors import RegistryError
from gate.registry.licence import parse_licence
from gate.replica import Filing, Status

# A byte that is not UTF-8, as `surrogateescape` decodes it and as repr() shows that (PEP 383).
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_SHOWN = re.compile(r"\\udc([89a-f][0-9a-f])")

_COLUMNS = ("domain", "licence", "status")
# What a list may say; `revoked` is what the replica makes of absent.
_STATUSES = {status.value: status for status in Status if status.value != "revoked"}


class ListError(Exception):
    """The list as a whole cannot be read; the message says why and what to do."""


@dataclass(slots=True, frozen=True)
class Refusal:
    """One line that was not taken."""

    line: int
    """Line number, from 1."""
    text: str
    reason: str

    def __str__(self) -> str:
        text = _SHOWN.sub(r"\\x\1", repr(self.text))
        return f"line {self.line}: {text}: {self.reason}"


@dataclass(slots=True)
class FilingList:
    """What a list holds, once it has been read."""

    filings: dict[str, Filing] = field(default_factory=dict)
    """By domain, in A-label form."""
    refused: int = 0
    repeated: int = 0
    """Lines that say again what an earlier line said."""


def read_list(
    lines: Iterable[str], *, is_csv: bool, refuse: Callable[[Refusal], None]
) -> FilingList:
    """Reads a list; calls `refuse` for each line that is not taken. Raises ListError.

    Lines are to be decoded with `surrogateescape`, so that one that is not UTF-8 is refused alone.
    """
    result = FilingList()
    first_lines: dict[str, int] = {}
    for number, text, row in _csv_rows(lines) if is_csv else _text_rows(lines):
        try:
            filing = _filing(row)
            known = result.filings.get(filing.domain)
            if known is not None and known != filing:
                raise ValueError(
                    f"line {first_lines[filing.domain]} says otherwise about this domain"
                )
        except ValueError as error:
            result.refused += 1
            refuse(Refusal(number, text[:100], str(error)))
            continue
        if known is not None:
            result.repeated += 1
            continue
        result.filings[filing.domain] = filing
        first_lines[filing.domain] = number
    return result


_Row = tuple[int, str, dict[str, str]]


def _text_rows(lines: Iterable[str]) -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text, {"domain": text}


def _csv_rows(lines: Iterable[str]) -> Iterator[_Row]:
    kept: list[tuple[int, str]] = []  # the physical line of the row that is being read

    def source() -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                kept.append((number, text))
                yield line

    rows = csv.reader(source(), strict=True)
    header: list[str] | None = None
    while True:
        kept.clear()
        try:
            cells = [cell.strip() for cell in next(rows)]
        except StopIteration:
            return
        except csv.Error as error:
            raise ListError(f"line {kept[-1][0]}: not CSV: {error}; check the quotes") from None
        number, text = kept[0]
        if header is None:
            header = [cell.lower() for cell in cells]
            _check_header(header, number)
            continue
        yield number, text, _named(header, cells)


def _check_header(header: list[str], number: int) -> None:
    unknown = [name for name in header if name not in _COLUMNS]
    if unknown or "domain" not in header or len(set(header)) != len(header):
        raise ListError(
            f"line {number}: the header is {','.join(header)!r}; "
            "write `domain` or `domain,licence,status` as the first line"
        )


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    """The cells by column; a row with too many or too few has its fault as `fault`."""
    if len(cells) != len(header):
        return {"fault": f"{len(cells)} cells under {len(header)} columns"}
    return dict(zip(header, cells, strict=True))


def _filing(row: dict[str, str]) -> Filing:
    """The filing of one row. Raises ValueError with the reason."""
    if "fault" in row:
        raise ValueError(row["fault"])
    for cell in row.values():
        if not cell.isascii() and _UNDECODABLE.search(cell):
            raise ValueError("not UTF-8; save the line as UTF-8")
    domain = row["domain"]
    if ":" in domain and not domain.startswith("["):
        raise ValueError("a domain has no port; leave it out")
    try:
        host = canonical(domain.encode())
        if host.ip is not None:
            raise ValueError("an IP address cannot be filed as a domain")
        check_fileable(host.name)
    except InvalidName as error:
        raise ValueError(error.reason) from None
    status = row.get("status", "").lower() or "filed"
    if status not in _STATUSES:
        raise ValueError(f"status {status!r} is none of {', '.join(_STATUSES)}")
    return Filing(host.name, _STATUSES[status], _licence(row.get("licence", "")))


def _licence(text: str) -> str:
    if not text:
        return ""
    try:
        return str(parse_licence(text))
    except RegistryError as error:
        raise ValueError(str(error)) from None
