"""Importing a file of filings: chunk by chunk, to be gone on with wherever it stopped.

Each chunk is one transaction: its filings, its batch in the log, its refused lines and how far
the file is done. A file is known by its SHA-256, so that the same file given again after a crash
goes on behind the last chunk that was committed.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Generator, Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from sqlalchemy import delete, insert, select, update

from gate.registry import log
from gate.registry.audit import record
from gate.registry.bulk.chunk import Chunk, RowOutcome
from gate.registry.bulk.clerks import Words, words_of
from gate.registry.bulk.files import FileFormat, Line, guess_format, read_lines
from gate.registry.bulk.filing_row import FilingRecord, read_record
from gate.registry.bulk.replacing import cancel, check_closing, left_out
from gate.registry.commands import Role
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import fileable_domain
from gate.registry.import_modes import ImportMode
from gate.registry.operations import Work, overriding
from gate.registry.queries import import_progress
from gate.registry.registry import Registry
from gate.registry.schema import imports, refusals
from gate.registry.tokens import Actor
from gate.registry.views import ImportView, RefusalView

CHUNK_LINES: Final = 5_000
"""Lines of one transaction; what one batch for a gate may hold."""


@dataclass(slots=True, frozen=True)
class _Parsed:
    """Lines of a chunk, before the records are looked at."""

    good: list[tuple[int, FilingRecord]]
    bad: list[tuple[int, RegistryError]]
    end: int
    lines: int


def import_file(
    registry: Registry,
    path: Path,
    *,
    actor: Actor,
    form: FileFormat | None = None,
    name: str | None = None,
    mode: ImportMode = ImportMode.ADD,
    max_shrink: float = 0.0,
    chunk_lines: int = CHUNK_LINES,
) -> Generator[ImportView]:
    """Import a file, and give the progress first and after each chunk.

    `name` is what the file is called in reports; `form` is guessed from it if not given. Stop
    iterating to stop; the same file goes on from there, as it was meant when it began. A file that
    was done is begun again: its filings are found unchanged then. One that replaces what is filed
    may close the share `max_shrink` of it.
    Raises RegistryError `header_invalid`, `import_elsewhere`, `import_unread`, `import_shrinks`, or
    what the database says; OSError when the file can't be read.
    """
    actor.needs(Role.REGISTRAR)
    name = name or path.name
    form = form or guess_format(name)
    with path.open("rb") as file, _rare_collections():
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        next(read_lines(file, form), None)  # a header that can't be used is refused before all
        if mode is ImportMode.REPLACE:
            _check_replacing(registry, file, form, digest, max_shrink=max_shrink)
        state = _begin(registry, actor, digest, name=name, form=form, size=size, mode=mode)
        words = words_of(file, form)
        yield state
        lines = read_lines(file, form, offset=state.offset, number=state.lines)
        while state.state == "running":
            parsed = _parse(list(islice(lines, chunk_lines)), registry.provider, state)
            listed: Set[str] = frozenset()
            if parsed.end >= state.size and state.mode == ImportMode.REPLACE:
                listed = domains_of(file, form)
            state = _apply(registry, actor, state, parsed, listed, words)
            yield state


def domains_of(file: BinaryIO, form: FileFormat) -> Set[str]:
    """Return every domain that a file names, also in lines that have another fault."""
    found: set[str] = set()
    for line in read_lines(file, form):
        for values in line.filings():
            if not isinstance(values, RegistryError):
                with suppress(RegistryError):
                    found.add(fileable_domain(values.get("domain", "")))
    return found


def _check_read(file: BinaryIO, form: FileFormat) -> None:
    """Raise RegistryError `import_unread` if a line does not tell which domains it names."""
    words = words_of(file, form) or Words()
    unread = [
        (line.number, line.values)
        for line in read_lines(file, form)
        if isinstance(line.values, RegistryError)
    ]
    if unread:
        zh, en = words.told(*unread[0])
        raise RegistryError("import_unread", count=len(unread), example=Said(zh, en))


def _check_replacing(
    registry: Registry, file: BinaryIO, form: FileFormat, digest: str, *, max_shrink: float
) -> None:
    """Raise RegistryError `import_unread` or `import_shrinks` for a list that may not replace.

    A file that is in mid-import was looked at.
    """
    with registry.database.read() as connection:
        with suppress(RegistryError):
            if import_progress(connection, digest).state == "running":
                return
        _check_read(file, form)
        check_closing(connection, domains_of(file, form), max_shrink=max_shrink)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the cycle collector rest: an import makes many objects and no cycles (30% faster)."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _parse(lines: list[Line], provider: str, state: ImportView) -> _Parsed:
    good: list[tuple[int, FilingRecord]] = []
    bad: list[tuple[int, RegistryError]] = []
    for line in lines:
        for values in line.filings():
            try:
                good.append((line.number, read_record(values, provider)))
            except RegistryError as error:
                bad.append((line.number, error))
    if not lines:
        return _Parsed(good, bad, state.size, state.lines)
    return _Parsed(good, bad, lines[-1].end, lines[-1].number)


def _begin(
    registry: Registry,
    actor: Actor,
    digest: str,
    *,
    name: str,
    form: FileFormat,
    size: int,
    mode: ImportMode,
) -> ImportView:
    with registry.database.write() as connection:
        work = registry.begin_change(connection, actor)
        state = connection.execute(
            select(imports.c.state).where(imports.c.digest == digest)
        ).scalar()
        if state == "done":
            connection.execute(delete(refusals).where(refusals.c.digest == digest))
            connection.execute(delete(imports).where(imports.c.digest == digest))
        if state != "running":
            connection.execute(
                insert(imports).values(
                    digest=digest,
                    name=name,
                    format=form.value,
                    size=size,
                    state="running",
                    offset=0,
                    lines=0,
                    accepted=0,
                    unchanged=0,
                    refused=0,
                    revived=0,
                    further=0,
                    closed=0,
                    mode=mode.value,
                    started_at=work.now,
                    changed_at=work.now,
                    actor=actor.name,
                )
            )
            record(work, "import", digest, {"name": name, "size": size, "mode": mode.value})
        return import_progress(connection, digest)


def _apply(
    registry: Registry,
    actor: Actor,
    state: ImportView,
    parsed: _Parsed,
    listed: Set[str],
    words: Words | None,
) -> ImportView:
    """Put one chunk on record, in one transaction; `listed` has what the last one leaves."""
    with registry.database.write() as connection:
        work = registry.begin_change(connection, actor)
        refused = list(parsed.bad)
        mode = ImportMode(state.mode)
        taken = _take(work, parsed.good, refused, revive=mode.revives)
        unchanged = len(parsed.good) + len(parsed.bad) - taken.accepted - len(refused)
        overriding.cover(work)
        head = log.append(connection, work.head, "import", work.changes, work.now)
        _note(work, state.digest, [*refused, *taken.revived, *taken.further], words)
        done = parsed.end >= state.size
        gone = []
        if done and mode is ImportMode.REPLACE:
            gone = left_out(connection, listed)
            head = cancel(work, head, gone)
        revision = head.revision
        moved = connection.execute(
            update(imports)
            .where(
                imports.c.digest == state.digest,
                imports.c.offset == state.offset,
                imports.c.state == "running",
            )
            .values(
                offset=parsed.end,
                lines=parsed.lines,
                accepted=imports.c.accepted + taken.accepted,
                unchanged=imports.c.unchanged + unchanged,
                refused=imports.c.refused + len(refused),
                revived=imports.c.revived + len(taken.revived),
                further=imports.c.further + len(taken.further),
                closed=imports.c.closed + len(gone),
                changed_at=work.now,
                state="done" if done else "running",
            )
        )
        if moved.rowcount != 1:
            raise RegistryError("import_elsewhere")
        progress = import_progress(connection, state.digest)
        if done:
            counts = progress.model_dump(
                include={"accepted", "unchanged", "refused", "revived", "further", "closed"}
            )
            record(work, "import_done", state.digest, counts, revision=revision)
    registry.committed(work, revision)
    return progress


@dataclass(slots=True)
class _Taken:
    """How many filings of a chunk were new, and notes on some of them."""

    accepted: int = 0
    revived: list[tuple[int, RegistryError]] = field(default_factory=list)
    further: list[tuple[int, RegistryError]] = field(default_factory=list)


def _take(
    work: Work,
    good: list[tuple[int, FilingRecord]],
    refused: list[tuple[int, RegistryError]],
    *,
    revive: bool,
) -> _Taken:
    """Take what the rules allow."""
    chunk = Chunk(work, [filing for _, filing in good], revive=revive)
    taken = _Taken()
    for number, filing in good:
        try:
            outcome = chunk.add(filing)
        except RegistryError as error:
            refused.append((number, error))
            continue
        taken.accepted += outcome is not RowOutcome.UNCHANGED
        if outcome is RowOutcome.REVIVED:
            taken.revived.append((number, chunk.revival(filing.domain)))
        elif outcome is RowOutcome.FURTHER:
            taken.further.append((number, chunk.further(filing)))
    chunk.write()
    return taken


def _note(
    work: Work, digest: str, notes: list[tuple[int, RegistryError]], words: Words | None
) -> None:
    """Keep what is to be said of lines, each once: a list's row may name several domains."""
    said: dict[int, RefusalView] = {}
    for number, error in notes:
        note = refusal(number, error, words)
        first = said.get(number)
        if first is not None:
            zh, en = f"{first.zh}；{note.zh}", f"{first.en}; {note.en}"
            note = first.model_copy(update={"zh": zh, "en": en})
        said[number] = note
    if said:
        work.connection.execute(
            insert(refusals), [{"digest": digest, **note.model_dump()} for note in said.values()]
        )


def refusal(number: int, error: RegistryError, words: Words | None) -> RefusalView:
    """Return what is to be said of a line."""
    zh, en = (error.zh, error.en) if words is None else words.told(number, error)
    return RefusalView(line=number, code=error.code, zh=zh, en=en)
