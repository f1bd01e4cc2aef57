"""`gate import FILE`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from gate.cli.asking import WaitsForWord, may_go_on
from gate.cli.failure import config_option, fail, load_settings
from gate.cli.filing_list import FilingList, RefusedLine, read_list
from gate.cli.list_changes import Changes, changes_of
from gate.cli.share import max_shrink_option
from gate.filings import Change, Status
from gate.ipc.refresh import RefreshError, refresh
from gate.lists import Found, ListError, ListRow, read_file
from gate.replica import Replica, ReplicaError, ReplicaMissing
from gate.settings import Settings


@dataclass(slots=True, frozen=True)
class Summary:
    """What an import did, or (`dry_run`) would do."""

    dry_run: bool
    imported: int
    refused: int
    warned: int
    repeated: int
    opened: int
    """Domains that are filed now and were not."""
    closed: int
    """Domains that were filed and are not any more."""
    changed: int
    """Domains whose record is another one, those two included."""
    entries: int
    """Domains in the replica afterwards."""
    revision: int
    seconds: float
    in_force: bool
    """A gate was running, and the list is in force in all its workers."""


@dataclass(slots=True, frozen=True)
class Options:
    """How a list is taken."""

    merge: bool = False
    strict: bool = False
    registrable: bool = False
    dry_run: bool = False
    yes: bool = False
    max_shrink: float = 0.1
    show: bool = False
    """Print each change, in a dry run."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@config_option
@click.option("--merge", is_flag=True, help="Add to the set instead of replacing it.")
@click.option("--strict", is_flag=True, help="Take nothing when a line is refused.")
@click.option(
    "--registrable",
    is_flag=True,
    help="Take example.cn where the list has www.example.cn or another name below it.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@max_shrink_option
@click.option("--yes", is_flag=True, help="Go on without asking, whatever closes.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Form of the summary.",
)
def import_list(
    file: Path,
    config: Path | None,
    merge: bool,
    strict: bool,
    registrable: bool,
    dry_run: bool,
    max_shrink: float,
    yes: bool,
    form: str,
) -> None:
    """Fill the replica from FILE (- for standard input).

    FILE is text, a domain a line (filed.txt), or a table: CSV, xlsx, or what `gate registry
    export` writes. A table has a header, and so has each file named .csv: it names a domain
    column, and may name licence and status, in English or in Chinese (域名, 网站备案号,
    备案状态 …); other columns do not count. Encoding (UTF-8, UTF-16, GB18030) and separator
    (comma, semicolon, full-width comma, tab) are found out and said. A row that cannot be taken is
    reported on standard error, with its place and the reason; the others are taken. A gate that
    runs on this replica has the new set in force when the command ends.

    A list that would close many domains (--max-shrink) waits for a person's word: the command
    asks on a terminal, and elsewhere ends with status 3 unless --yes is given. --dry-run shows
    each domain that opens (+), closes (-) or changes (~).

    Exit status: 0 when the list has been taken, 1 when it has been taken but for refused lines,
    2 when nothing has been changed, 3 when nothing has been changed because too much would close.
    With --dry-run, what it would be.
    """
    options = Options(merge, strict, registrable, dry_run, yes, max_shrink, show=form == "text")
    summary = take(load_settings(config), file, options)
    click.echo(json.dumps(asdict(summary)) if form == "json" else _text(file, summary))
    sys.exit(1 if summary.refused else 0)


def take(settings: Settings, file: Path, options: Options) -> Summary:
    """Put the list in `file` into the replica, and in force. Raises Failure."""
    started = time.monotonic()
    listed = _read(file, strict=options.strict, registrable=options.registrable)
    try:
        with _opened(settings, writable=not options.dry_run) as replica:
            changes = _look(replica, listed, file, options)
            if replica is not None and not options.dry_run:
                _store(replica, listed, merge=options.merge)
            position = replica.position() if replica is not None else None
            entries = replica.count() if replica is not None else 0
    except ReplicaError as error:
        fail(str(error))
    return Summary(
        dry_run=options.dry_run,
        imported=len(listed.filings),
        refused=listed.refused,
        warned=listed.warned,
        repeated=listed.repeated,
        opened=changes.difference.opening,
        closed=changes.difference.closing,
        changed=changes.count,
        entries=entries,
        revision=position.revision if position else 0,
        seconds=round(time.monotonic() - started, 3),
        in_force=False if options.dry_run else _put_in_force(settings),
    )


def _read(path: Path, *, strict: bool, registrable: bool) -> FilingList:
    def refuse(refusal: RefusedLine) -> None:
        click.echo(f"gate: {path}: {refusal}", err=True)

    def warn(doubt: RefusedLine) -> None:
        click.echo(f"gate: {path}: warning: {doubt}", err=True)

    try:
        found = read_file(_bytes_of(path), headed=path.suffix.lower() == ".csv")
    except OSError as error:
        fail(f"{path}: cannot be read: {error.strerror}; check path and rights")
    except ListError as error:
        fail(f"{path}: {error}")
    if found.kind != "UTF-8":
        click.echo(f"gate: {path}: read as {found.kind}", err=True)
    with _watched(found):
        listed = read_list(found, registrable=registrable, refuse=refuse, warn=warn)
    if strict and listed.refused:
        fail(f"{path}: {listed.refused} lines refused, and --strict takes all or nothing")
    if not listed.filings:
        fail(f"{path}: holds no domain that can be taken; the replica is left as it was")
    _offer(path, listed)
    return listed


@contextmanager
def _watched(found: Found) -> Iterator[None]:
    """Show a progress bar where a person is watching."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=found.size)
        rows = found.rows

        def counted() -> Iterator[ListRow]:
            for number, row in enumerate(rows):
                if number % 4096 == 0:
                    progress.update(task, completed=row.number)
                yield row

        found.rows = counted()
        yield


def _bytes_of(path: Path) -> bytes:
    """Return what is in a file, or on standard input. Raises OSError."""
    if str(path) == "-":
        return sys.stdin.buffer.read()
    return path.read_bytes()


def _offer(path: Path, listed: FilingList) -> None:
    """Tell of names that are hardly filed by themselves: a filing of what is above covers them."""
    for line in listed.below:
        click.echo(f"gate: {path}: note: {line}", err=True)
    if listed.below_count:
        click.echo(
            f"gate: {path}: {listed.below_count} names lie below a registrable domain, as above; "
            "each opens itself and what is below it alone. Give --registrable to take the "
            "registrable domains instead",
            err=True,
        )


@contextmanager
def _opened(settings: Settings, *, writable: bool) -> Iterator[Replica | None]:
    """The replica; None where there is none to read. Raises ReplicaError."""
    try:
        replica = Replica.open(settings.replica_path, writable=writable)
    except ReplicaMissing:
        yield None
        return
    with closing(replica):
        yield replica


def _look(replica: Replica | None, listed: FilingList, path: Path, options: Options) -> Changes:
    """Return what the list changes: shown for a dry run, and asked about where too much closes.

    Raises WaitsForWord.
    """
    if replica is not None:
        replica.check_local()
    changes = Changes()
    for change in changes_of(replica, listed.filings, merge=options.merge, changes=changes):
        if options.dry_run and options.show:
            click.echo(str(change))
    if not options.yes and changes.difference.shrinks(options.max_shrink):
        warning = f"{path}: {changes.warning()}"
        if options.dry_run or not may_go_on(warning):
            raise WaitsForWord(
                f"{warning}; more than {options.max_shrink:.0%} closes by a person's word only: "
                "nothing was changed. Look with --dry-run, and take it with --yes"
            )
    return changes


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
    done = "would be imported" if summary.dry_run else "imported"
    parts = [f"{path}: {summary.imported} domains {done} in {summary.seconds:.1f} s"]
    if summary.repeated:
        parts.append(f"{summary.repeated} repeated")
    if summary.warned:
        parts.append(f"{summary.warned} with a licence number that cannot be read")
    if summary.refused:
        parts.append(f"{summary.refused} lines refused")
    parts.append(f"{summary.opened} open, {summary.closed} close")
    if summary.dry_run:
        return f"{', '.join(parts)}; nothing was changed"
    state = "in force" if summary.in_force else "no gate is running on it"
    return f"{', '.join(parts)}; {summary.entries} in the replica, {state}"
