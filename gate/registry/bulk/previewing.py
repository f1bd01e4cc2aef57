"""What an import would do: each chunk is taken, looked at, and undone.

A chunk is looked at by itself, on what is on record now: a line whose rules depend on one of an
earlier chunk (another site of a new subject) may end otherwise when the file is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection, select

from gate.filings import Change, Status
from gate.registry.bulk.chunk import Chunk, RowOutcome
from gate.registry.bulk.clerks import Words, words_of
from gate.registry.bulk.files import FileFormat, Line, read_lines
from gate.registry.bulk.filing_row import read_record
from gate.registry.bulk.importing import CHUNK_LINES, domains_of, refusal
from gate.registry.bulk.replacing import left_out
from gate.registry.errors import RegistryError
from gate.registry.import_modes import ImportMode
from gate.registry.registry import Registry
from gate.registry.schema import domains
from gate.registry.tokens import Actor
from gate.registry.views import PreviewView, RefusalView


@dataclass(slots=True)
class Preview:
    """The figures of a dry run, and as many of its lines as are wanted."""

    limit: int
    words: Words | None = None
    """How to tell of the lines."""
    accepted: int = 0
    unchanged: int = 0
    refused: int = 0
    revived: int = 0
    further: int = 0
    closing: int = 0
    changes: list[str] = field(default_factory=list)
    notes: list[RefusalView] = field(default_factory=list)

    def note(self, line: int, error: RegistryError) -> None:
        """Say something of a line."""
        if len(self.notes) < self.limit:
            self.notes.append(refusal(line, error, self.words))

    def show(self, text: str) -> None:
        """Add a line of the diff."""
        if len(self.changes) < self.limit:
            self.changes.append(text)

    def view(self) -> PreviewView:
        """Return what was found."""
        return PreviewView(
            accepted=self.accepted,
            unchanged=self.unchanged,
            refused=self.refused,
            revived=self.revived,
            further=self.further,
            closing=self.closing,
            changes=tuple(self.changes),
            notes=tuple(self.notes),
        )


def preview_file(
    registry: Registry,
    path: Path,
    *,
    actor: Actor,
    form: FileFormat,
    mode: ImportMode,
    preview: Preview,
) -> Iterator[None]:
    """Look at a file chunk by chunk, filling `preview`; nothing is changed.

    Raises RegistryError `header_invalid`, or what the database says; OSError when the file can't
    be read.
    """
    with path.open("rb") as file:
        preview.words = words_of(file, form)
        lines = read_lines(file, form)
        while chunk := list(islice(lines, CHUNK_LINES)):
            _look(registry, chunk, actor, mode, preview)
            yield
        if mode is ImportMode.REPLACE:
            listed = domains_of(file, form)
            with registry.database.read() as connection:
                gone = left_out(connection, listed)
            preview.closing = len(gone)
            for domain, _ in gone:
                preview.show(f"- {domain}")


def _look(
    registry: Registry, lines: list[Line], actor: Actor, mode: ImportMode, preview: Preview
) -> None:
    with registry.database.write() as connection:
        work = registry.begin(connection, actor)
        savepoint = connection.begin_nested()
        records = []
        for line in lines:
            for values in line.filings():
                try:
                    records.append((line.number, read_record(values, registry.provider)))
                except RegistryError as error:
                    preview.refused += 1
                    preview.note(line.number, error)
        chunk = Chunk(work, [record for _, record in records], revive=mode.revives)
        for number, record in records:
            try:
                taken = chunk.add(record)
            except RegistryError as error:
                preview.refused += 1
                preview.note(number, error)
                continue
            preview.accepted += taken is not RowOutcome.UNCHANGED
            preview.unchanged += taken is RowOutcome.UNCHANGED
            if taken is RowOutcome.REVIVED:
                preview.revived += 1
                preview.note(number, chunk.revival(record.domain))
            elif taken is RowOutcome.FURTHER:
                preview.further += 1
                preview.note(number, chunk.further(record))
        before = _statuses(connection, [record.domain for _, record in records])
        chunk.write()
        savepoint.rollback()
        for change in work.changes:
            preview.show(_line(change, before.get(change.domain)))


def _statuses(connection: Connection, names: list[str]) -> dict[str, str]:
    query = select(domains.c.domain, domains.c.status).where(domains.c.domain.in_(names))
    return {row.domain: row.status for row in connection.execute(query)}


def _line(change: Change, before: str | None) -> str:
    """Return a line of the diff, as `gate import --dry-run` has them."""
    after = f"{change.status.value} {change.licence}"
    if before is None or before == Status.ABSENT.value:
        return f"+ {change.domain} {after}"
    return f"~ {change.domain} {before} -> {after}"
