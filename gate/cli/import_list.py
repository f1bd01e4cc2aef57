"""`gate import FILE`."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import click

from gate.cli.failure import config_option, fail, load_settings
from gate.control.refresh import RefreshError, refresh
from gate.filing_list import FilingList, ListError, Refusal, read_list
from gate.replica import Change, Replica, ReplicaError, Status
from gate.settings import Settings


@dataclass(slots=True, frozen=True)
class Summary:
    """What an import did."""

    imported: int
    refused: int
    repeated: int
    entries: int
    """Domains in the replica afterwards."""
    revision: int
    seconds: float
    in_force: bool
    """A gate was running, and the list is in force in all its workers."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@config_option
@click.option("--merge", is_flag=True, help="Add to the set instead of replacing it.")
@click.option("--strict", is_flag=True, help="Take nothing when a line is refused.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Form of the summary.",
)
def import_list(file: Path, config: Path | None, merge: bool, strict: bool, form: str) -> None:
    """Fill the replica from FILE (- for standard input).

    FILE is text, a domain a line, or CSV (a name that ends in .csv, or a first line with a
    comma) with the header `domain,licence,status`, where licence and status may be left out.
    A line that cannot be taken is reported on standard error, with its number and the reason;
    the others are taken. A gate that runs on this replica has the new set in force when the
    command ends.

    Exit status: 0 when the list has been taken, 2 when nothing has been changed.
    """
    summary = take(load_settings(config), file, merge=merge, strict=strict)
    click.echo(json.dumps(asdict(summary)) if form == "json" else _text(file, summary))


def take(settings: Settings, file: Path, *, merge: bool = False, strict: bool = False) -> Summary:
    """Puts the list in `file` into the replica, and in force. Raises Failure."""
    started = time.monotonic()
    listed = _read(file, strict=strict)
    try:
        with closing(Replica.open(settings.replica_path, writable=True)) as replica:
            _store(replica, listed, merge=merge)
            position = replica.position()
            entries = replica.count()
    except ReplicaError as error:
        fail(str(error))
    return Summary(
        imported=len(listed.filings),
        refused=listed.refused,
        repeated=listed.repeated,
        entries=entries,
        revision=position.revision if position else 0,
        seconds=round(time.monotonic() - started, 3),
        in_force=_put_in_force(settings),
    )


def _read(path: Path, *, strict: bool) -> FilingList:
    def refuse(refusal: Refusal) -> None:
        click.echo(f"gate: {path}: {refusal}", err=True)

    try:
        with _open(path) as raw, _watched(raw, path) as lines:
            first = next(lines, "")
            is_csv = path.suffix.lower() == ".csv" or "," in first
            listed = read_list(_again(first, lines), is_csv=is_csv, refuse=refuse)
    except OSError as error:
        fail(f"{path}: cannot be read: {error.strerror}; check path and rights")
    except ListError as error:
        fail(f"{path}: {error}")
    if strict and listed.refused:
        fail(f"{path}: {listed.refused} lines refused, and --strict takes all or nothing")
    if not listed.filings:
        fail(f"{path}: holds no domain that can be taken; the replica is left as it was")
    return listed


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
    else:
        with path.open("rb") as file:
            yield file


@contextmanager
def _watched(raw: BinaryIO, path: Path) -> Iterator[Iterator[str]]:
    """The lines of `raw`, with a progress bar where a person is watching."""
    if not sys.stderr.isatty() or raw is sys.stdin.buffer:
        yield _decoded(raw)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=path.stat().st_size)

        def counted() -> Iterator[str]:
            for number, line in enumerate(_decoded(raw)):
                if number % 4096 == 0:
                    progress.update(task, completed=raw.tell())
                yield line

        yield counted()


def _decoded(raw: BinaryIO) -> io.TextIOWrapper:
    """The lines as text; what is not UTF-8 is kept apart, and its line refused later."""
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape")


def _again(first: str, rest: Iterable[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def _store(replica: Replica, listed: FilingList, *, merge: bool) -> None:
    filings = [listed.filings[domain] for domain in sorted(listed.filings)]
    if merge:
        now = int(time.time())
        replica.edit(Change(item.domain, item.status, item.licence, now) for item in filings)
    else:
        replica.load_local(item for item in filings if item.status is not Status.ABSENT)


def _put_in_force(settings: Settings) -> bool:
    try:
        return refresh(settings.control_path)
    except RefreshError as error:
        fail(f"the list is in the replica, but may not be in force yet: {error}")


def _text(path: Path, summary: Summary) -> str:
    parts = [f"{path}: {summary.imported} domains imported in {summary.seconds:.1f} s"]
    if summary.repeated:
        parts.append(f"{summary.repeated} repeated")
    if summary.refused:
        parts.append(f"{summary.refused} lines refused")
    state = "in force" if summary.in_force else "no gate is running on it"
    return f"{', '.join(parts)}; {summary.entries} in the replica, {state}"
