"""`gate registry import | export`."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import click

from gate.cli.asking import WaitsForWord, may_go_on
from gate.cli.options import json_option
from gate.cli.registry.target import Refused, Target, print_json, target_options
from gate.cli.share import max_shrink_option
from gate.files import draft
from gate.registry.bulk.files import EXPORTED, FileFormat
from gate.registry.client import RemoteError
from gate.registry.errors import RegistryError
from gate.registry.import_modes import ImportMode
from gate.registry.views import ImportView, PreviewView, RefusalView

_SHOWN = 20
_READ = 10_000
"""Lines to choose those from that are shown: refusals before mere notes."""
_MERE_NOTES = ("domain_further",)
_PATIENCE_SECONDS = 20.0
_FORMATS = click.Choice([form.value for form in EXPORTED])


class NothingImported(Refused):
    """The file could not be read, or the registry took nothing of it."""

    exit_code = 2


@click.command("import")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "form", type=_FORMATS, help="By the file's content, if not given.")
@click.option("--revive", is_flag=True, help="File again what was cancelled since.")
@click.option(
    "--replace", is_flag=True, help="Take the list as all there is: cancel what it leaves out."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@max_shrink_option
@click.option("--yes", is_flag=True, help="Go on without asking, whatever closes.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV of the lines that were refused, revived, or joined to a website.",
)
@click.option(
    "--registrable",
    is_flag=True,
    help="Take example.cn where the list has www.example.cn or another name below it.",
)
@json_option
@target_options
def import_command(
    target: Target,
    path: Path,
    form: str | None,
    revive: bool,
    replace: bool,
    dry_run: bool,
    max_shrink: float,
    yes: bool,
    report: Path | None,
    registrable: bool,
    as_json: bool,
) -> None:
    """Import filings from a clerk's list: CSV, xlsx, or NDJSON.

    The header names a column for the domain, the licence number and the subject at least, in
    English or in Chinese (域名, 网站备案号, 主办单位名称 …); also taken: subject_kind, account,
    certificate, service, providers, status. Encoding (UTF-8, UTF-16, GB18030) and separator (comma,
    semicolon, full-width comma, tab) are found out and said. A refused line is reported with its
    place and reason, the rest is taken. An import that was interrupted goes on where it stopped,
    when the same file is given again.

    A list may be older than a cancellation: a domain that was cancelled is refused, unless --revive
    says to file it again; each one is reported. With --replace the list is all that is filed with
    this provider: what it leaves out is cancelled, and more than --max-shrink of what is filed
    waits for a person's word.

    Exit status: 0 taken, 1 taken but for refused lines, 2 nothing was taken, 3 nothing was taken
    because too much would close.
    """
    mode = _mode(revive, replace)
    said = FileFormat(form) if form else None
    with nothing_imported():
        if dry_run:
            preview = target.preview_import(path, said, mode=mode, registrable=registrable)
            _tell_beforehand(preview)
            print_json(preview) if as_json else _show(preview)
            sys.exit(1 if preview.refused else 0)
        state = _import(target, path, said, mode, 1.0 if yes else max_shrink, registrable)
        told = target.refusals(state.digest)
        count = state.refused + state.revived + state.further
        is_list = state.format == "list"
        if report is not None and count:
            _write_report(report, told, is_list=is_list)
        if as_json:
            print_json(state)
        else:
            click.echo(_summary(state))
            if report is not None and count:
                click.echo(f"{count} lines that were refused or are remarked on: {report}")
            elif report is not None:
                click.echo(f"no line was refused or is remarked on, so {report} was not written")
            else:
                _tell(told, count, is_list=is_list)
        sys.exit(1 if state.refused else 0)


@contextmanager
def nothing_imported() -> Iterator[None]:
    """Turn what keeps a list from being imported into exit status 2."""
    try:
        yield
    except OSError as error:
        raise NothingImported(f"the list can't be imported: {error}") from error
    except (RegistryError, RemoteError) as error:
        raise NothingImported(error.en, error.zh, error.code) from error
    except Refused as error:
        raise NothingImported(error.message, error.zh, error.code) from error


def _mode(revive: bool, replace: bool) -> ImportMode:
    if replace:
        return ImportMode.REPLACE
    return ImportMode.REVIVE if revive else ImportMode.ADD


def _import(
    target: Target,
    path: Path,
    said: FileFormat | None,
    mode: ImportMode,
    max_shrink: float,
    registrable: bool,
) -> ImportView:
    """Import a list, asking where too much would close. Raises WaitsForWord."""

    def begin(max_shrink: float) -> Iterator[ImportView]:
        return target.import_file(
            path, said, mode=mode, max_shrink=max_shrink, registrable=registrable
        )

    try:
        return _follow(begin(max_shrink))
    except (RegistryError, RemoteError) as error:
        if error.code != "import_shrinks":
            raise
        if not may_go_on(f"{error.zh}\n{error.en}"):
            raise WaitsForWord(f"{error.zh}\n{error.en}") from error
        return _follow(begin(1.0))


def _summary(state: ImportView) -> str:
    parts = [
        f"{state.accepted} taken",
        f"{state.unchanged} on record already",
        f"{state.refused} refused",
    ]
    if state.revived:
        parts.append(f"{state.revived} of the taken had been cancelled")
    if state.further:
        parts.append(f"{state.further} of the taken added to websites with other domains")
    if state.mode is ImportMode.REPLACE:
        parts.append(f"{state.closed} that the list leaves out cancelled")
    return ", ".join(parts)


def _tell_beforehand(found: ImportView | PreviewView) -> None:
    """Say what a list was found to be, and what is odd about it."""
    if found.read_as:
        click.echo(f"识别为 / read as: {found.read_as}", err=True)
    for remark in found.remarks:
        click.echo(remark, err=True)


def _placed(note: RefusalView, *, is_list: bool) -> tuple[str, str]:
    """Return a refusal with its place, in Chinese and English; a list's has it in its words."""
    if is_list:
        return note.zh, note.en
    return f"第 {note.line} 行：{note.zh}", f"line {note.line}: {note.en}"


def _tell(notes: Iterator[RefusalView], count: int, *, is_list: bool) -> None:
    first = islice(notes, _READ)
    for note in sorted(first, key=lambda note: note.code in _MERE_NOTES)[:_SHOWN]:
        click.echo(" / ".join(_placed(note, is_list=is_list)), err=True)
    if count > _SHOWN:
        click.echo(f"… {count - _SHOWN} more; see them all with --report", err=True)


def _show(preview: PreviewView) -> None:
    for change in preview.changes:
        click.echo(change)
    for note in sorted(preview.notes, key=lambda note: note.line):
        click.echo(" / ".join(_placed(note, is_list=bool(preview.read_as))), err=True)
    click.echo(
        f"{preview.accepted} would be taken ({preview.revived} of them had been cancelled, "
        f"{preview.further} are further domains of websites), "
        f"{preview.unchanged} are on record already, "
        f"{preview.refused} would be refused, "
        f"{preview.closing} cancelled; nothing was changed"
    )


@click.command()
@click.option("--format", "form", type=_FORMATS, default=FileFormat.CSV.value, show_default=True)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="File; - or nothing: stdout."
)
@target_options
def export(target: Target, form: str, output: Path | None) -> None:
    """Export every filing, as a file that an import takes back.

    Certificate numbers are in it: keep it safe.
    """
    pieces = target.export(FileFormat(form))
    try:
        if output is None or str(output) == "-":
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        if output.exists() and not output.is_file():  # a pipe or a device
            with output.open("wb") as file:
                file.writelines(pieces)
            return
        with draft(output.parent, f".{output.name}.") as new:  # personal data: for its owner alone
            for piece in pieces:
                new.file.write(piece)
            new.put(output)
    except OSError as error:
        raise Refused(f"the export can't be written: {error}") from error


def _follow(progress: Iterator[ImportView]) -> ImportView:
    """Show how far an import is while it runs; gives back its last state."""
    state = next(progress)
    _tell_beforehand(state)
    with click.progressbar(
        length=max(state.size, 1),
        label="importing",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        bar.update(state.offset)
        done = state.offset
        trouble, since = "", time.monotonic()
        for state in progress:
            bar.update(state.offset - done)
            if not state.trouble or state.offset != done:
                since = time.monotonic()
            if state.trouble and state.trouble != trouble:
                click.echo(f"the registry waits: {state.trouble}", err=True)
            trouble, done = state.trouble, state.offset
            if trouble and time.monotonic() > since + _PATIENCE_SECONDS:
                raise Refused(
                    f"the import has come to line {state.lines} and waits: {trouble}; the registry "
                    "goes on by itself once that is over, and the same command follows it again"
                )
    return state


def _write_report(path: Path, refused: Iterator[RefusalView], *, is_list: bool) -> None:
    try:
        with draft(path.parent, f".{path.name}.") as new:
            text = io.TextIOWrapper(new.file, newline="", encoding="utf-8-sig")
            writer = csv.writer(text)
            writer.writerow(["line", "code", "zh", "en"])
            for refusal in refused:
                writer.writerow((refusal.line, refusal.code, *_placed(refusal, is_list=is_list)))
            text.flush()
            new.put(path)
            text.detach()
    except OSError as error:
        raise Refused(f"the report {path} can't be written: {error.strerror}") from error
