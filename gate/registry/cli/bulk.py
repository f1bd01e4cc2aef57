"""`gate registry import | export`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click

from gate.registry.bulk.files import FileFormat, guess_format
from gate.registry.cli.target import Refused, Target, json_option, print_json, target_options
from gate.registry.views import ImportView, RefusalView

_SHOWN = 20
_FORMATS = click.Choice([form.value for form in FileFormat])


@click.command("import")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "form", type=_FORMATS, help="By the file's name, if not given.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="CSV of the refused lines."
)
@json_option
@target_options
def import_command(
    target: Target, path: Path, form: str | None, report: Path | None, as_json: bool
) -> None:
    """Import filings from a CSV or NDJSON file.

    CSV needs a header with domain, licence and subject at least; also taken: subject_kind,
    account, certificate, service, providers, status, or the Chinese names (域名, 备案号,
    主体名称, …). A refused line is reported with its number and reason, the rest is taken. An
    import that was interrupted goes on where it stopped, when the same file is given again.
    """
    try:
        form_meant = FileFormat(form) if form else guess_format(path.name)
        state = _follow(target.import_file(path, form_meant))
    except OSError as error:
        raise Refused(f"{path} can't be imported: {error}") from error
    if report is not None and state.refused:
        _write_report(report, target.refusals(state.digest))
    if as_json:
        print_json(state)
        return
    click.echo(
        f"{state.accepted} taken, {state.unchanged} on record already, {state.refused} refused"
    )
    if report is None:
        for refusal in islice(target.refusals(state.digest), _SHOWN):
            click.echo(f"line {refusal.line}: {refusal.zh} / {refusal.en}", err=True)
        if state.refused > _SHOWN:
            click.echo(f"… {state.refused - _SHOWN} more; see them all with --report", err=True)
    else:
        click.echo(f"refused lines: {report}")


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
        with output.open("wb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise Refused(f"the export can't be written: {error}") from error


def _follow(progress: Iterator[ImportView]) -> ImportView:
    """Show how far an import is while it runs; gives back its last state."""
    state = next(progress)
    with click.progressbar(
        length=max(state.size, 1),
        label="importing",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        bar.update(state.offset)
        done = state.offset
        for state in progress:
            bar.update(state.offset - done)
            done = state.offset
    return state


def _write_report(path: Path, refused: Iterator[RefusalView]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.writer(file)
            writer.writerow(["line", "code", "zh", "en"])
            writer.writerows((row.line, row.code, row.zh, row.en) for row in refused)
    except OSError as error:
        raise Refused(f"the report can't be written: {error}") from error
