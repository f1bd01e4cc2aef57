"""Lists of filed domains, for `gate import`.

What is read is in gate.lists: text with a domain a line, or a table whose header names a domain
column, and optionally licence and status (filed, filed_elsewhere, suspended, absent; filed where it
is empty); other columns do not count. A row that cannot be taken is refused with its place and the
reason; the others are taken. Whether a domain is filed is never decided by its licence number: one
that cannot be read is warned of, and kept as it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gate import licence
from gate.changes.batch import MAX_LICENCE
from gate.filings import Filing, Status
from gate.licence import LicenceError
from gate.lists import Found, ListRow, offered_domain
from gate.names import InvalidName, canonical, check_fileable

SHOWN: Final = 5
"""Names below registrable ones that are shown."""
# What a list may say; `revoked` is what the replica makes of absent.
_STATUSES = {status.value: status for status in Status if status.value != "revoked"}


@dataclass(slots=True, frozen=True)
class RefusedLine:
    """One line that was not taken, or (as a warning) not all of it."""

    line: int
    """Line, or row of a sheet, from 1."""
    where: str
    """The same for people, with the column where it is known."""
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text!r}: {self.reason}"


@dataclass(slots=True)
class FilingList:
    """What a list holds, once it has been read."""

    filings: dict[str, Filing] = field(default_factory=dict)
    """By domain, in A-label form."""
    refused: int = 0
    warned: int = 0
    """Lines that were taken although their licence number cannot be read."""
    repeated: int = 0
    """Lines that say again what an earlier line said."""
    below: list[RefusedLine] = field(default_factory=list)
    """The first names that lie below the registrable domain that is usually filed."""
    below_count: int = 0


def read_list(
    found: Found,
    *,
    registrable: bool = False,
    refuse: Callable[[RefusedLine], None],
    warn: Callable[[RefusedLine], None],
) -> FilingList:
    """Read a list; calls `refuse` for each row that is not taken, and `warn` for each that is
    taken although its licence number cannot be read.

    `registrable` takes `example.cn` where the list has `www.example.cn`.
    """
    result = FilingList()
    first_lines: dict[str, int] = {}
    for row in found.rows:
        column = "domain"
        try:
            if row.fault is not None:
                column = ""
                raise ValueError(row.fault.en)
            domain = row.values["domain"]
            above = offered_domain(domain)
            if above is not None:
                domain = _below(result, found, row, above) if not registrable else above
            filing, doubt = _filing({**row.values, "domain": domain})
            known = result.filings.get(filing.domain)
            if known is not None and known != filing:
                raise ValueError(
                    f"line {first_lines[filing.domain]} says otherwise about this domain"
                )
        except _BadStatus as error:
            result.refused += 1
            refuse(_line(found, row, "status", str(error)))
            continue
        except ValueError as error:
            result.refused += 1
            refuse(_line(found, row, column, str(error)))
            continue
        if known is not None:
            result.repeated += 1
            continue
        if doubt:
            result.warned += 1
            warn(_line(found, row, "licence", doubt))
        result.filings[filing.domain] = filing
        first_lines[filing.domain] = row.number
    return result


class _BadStatus(ValueError):
    """A status that is none."""


def _line(found: Found, row: ListRow, column: str, reason: str) -> RefusedLine:
    return RefusedLine(row.number, found.where(row.number, column)[1], row.written, reason)


def _below(result: FilingList, found: Found, row: ListRow, above: str) -> str:
    """Note a name that lies below a registrable one; return it."""
    result.below_count += 1
    if len(result.below) < SHOWN:
        result.below.append(_line(found, row, "domain", f"lies below {above}"))
    return row.values["domain"]


def _filing(row: dict[str, str]) -> tuple[Filing, str]:
    """Return the filing of one row, and what is doubtful of it.

    Raises ValueError with the reason.
    """
    domain = row["domain"]
    if ":" in domain and not domain.startswith("["):
        raise ValueError("a domain has no port; leave it out")
    try:
        host = canonical(domain.encode("utf-8", "surrogatepass"))
        if host.ip is not None:
            raise ValueError("an IP address cannot be filed as a domain")
        check_fileable(host.name)
    except InvalidName as error:
        raise ValueError(error.reason) from None
    status = row.get("status", "").lower() or "filed"
    if status not in _STATUSES:
        raise _BadStatus(f"status {status!r} is none of {', '.join(_STATUSES)}")
    number, doubt = _licence(row.get("licence", ""))
    return Filing(host.name, _STATUSES[status], number), doubt


def _licence(text: str) -> tuple[str, str]:
    """Return the licence number as it is kept, and what is doubtful of it."""
    if not text:
        return "", ""
    try:
        return str(licence.parse(text)), ""
    except LicenceError as error:
        kept = text if len(text) <= MAX_LICENCE and text.isprintable() else ""
        how = "kept as it is written" if kept else "left out"
        return kept, f"licence number {how}: {error}; the domain is taken"
