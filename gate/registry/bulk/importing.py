"""Importing a file of filings: chunk by chunk, to be gone on with wherever it stopped.

Each chunk is one transaction: its filings, its batch in the log, its refused lines and how far
the file is done. A file is known by its SHA-256, so that the same file given again after a crash
goes on behind the last chunk that was committed.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from sqlalchemy import delete, insert, select, update

from gate.registry import log
from gate.registry.bulk.chunk import Chunk
from gate.registry.bulk.files import FileFormat, Line, guess_format, read_lines
from gate.registry.bulk.record import FilingRecord, read_record
from gate.registry.commands import Role
from gate.registry.errors import RegistryError
from gate.registry.operations import Work
from gate.registry.queries import import_progress
from gate.registry.registry import Registry, record
from gate.registry.schema import imports, refusals
from gate.registry.tokens import Actor
from gate.registry.views import ImportView

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
    chunk_lines: int = CHUNK_LINES,
) -> Generator[ImportView]:
    """Import a file, and give the progress first and after each chunk.

    `name` is what the file is called in reports; `form` is guessed from it if not given. Stop
    iterating to stop; the same file goes on from there. A file that was done is begun again: its
    filings are found unchanged then.
    Raises RegistryError `header_invalid`, `import_elsewhere`, or what the database says; OSError
    when the file can't be read.
    """
    actor.needs(Role.REGISTRAR)
    name = name or path.name
    form = form or guess_format(name)
    with path.open("rb") as file, _rare_collections():
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        next(read_lines(file, form), None)  # a header that can't be used is refused before all
        state = _begin(registry, actor, digest, name=name, form=form, size=size)
        yield state
        lines = read_lines(file, form, offset=state.offset, number=state.lines)
        while state.state == "running":
            parsed = _parse(list(islice(lines, chunk_lines)), registry.provider, state)
            state = _apply(registry, actor, state, parsed)
            yield state


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
        if isinstance(line.values, RegistryError):
            bad.append((line.number, line.values))
            continue
        try:
            good.append((line.number, read_record(line.values, provider)))
        except RegistryError as error:
            bad.append((line.number, error))
    if not lines:
        return _Parsed(good, bad, state.size, state.lines)
    return _Parsed(good, bad, lines[-1].end, lines[-1].number)


def _begin(
    registry: Registry, actor: Actor, digest: str, *, name: str, form: FileFormat, size: int
) -> ImportView:
    with registry.database.write() as connection:
        work = registry.begin(connection, actor)
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
                    started_at=work.now,
                    changed_at=work.now,
                    actor=actor.name,
                )
            )
            record(work, "import", digest, {"name": name, "size": size})
        return import_progress(connection, digest)


def _apply(registry: Registry, actor: Actor, state: ImportView, parsed: _Parsed) -> ImportView:
    """Put one chunk on record, in one transaction."""
    with registry.database.write() as connection:
        work = registry.begin(connection, actor)
        refused = list(parsed.bad)
        accepted = _take(work, parsed.good, refused)
        unchanged = len(parsed.good) + len(parsed.bad) - accepted - len(refused)
        revision = log.append(connection, work.head, "import", work.changes, work.now).revision
        _refuse(work, state.digest, refused)
        done = parsed.end >= state.size
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
                accepted=imports.c.accepted + accepted,
                unchanged=imports.c.unchanged + unchanged,
                refused=imports.c.refused + len(refused),
                changed_at=work.now,
                state="done" if done else "running",
            )
        )
        if moved.rowcount != 1:
            raise RegistryError("import_elsewhere")
        progress = import_progress(connection, state.digest)
        if done:
            counts = progress.model_dump(include={"accepted", "unchanged", "refused"})
            record(work, "import_done", state.digest, counts, revision=revision)
    registry.committed(work, revision)
    return progress


def _take(
    work: Work,
    good: list[tuple[int, FilingRecord]],
    refused: list[tuple[int, RegistryError]],
) -> int:
    """Take what the rules allow; gives back how many filings were new."""
    chunk = Chunk(work, [filing for _, filing in good])
    accepted = 0
    for number, filing in good:
        try:
            accepted += chunk.add(filing)
        except RegistryError as error:
            refused.append((number, error))
    chunk.write()
    return accepted


def _refuse(work: Work, digest: str, refused: list[tuple[int, RegistryError]]) -> None:
    if refused:
        work.connection.execute(
            insert(refusals),
            [
                {
                    "digest": digest,
                    "line": number,
                    "code": error.code,
                    "zh": error.zh,
                    "en": error.en,
                }
                for number, error in refused
            ],
        )
