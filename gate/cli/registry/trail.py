"""`gate registry history | audit`."""

from __future__ import annotations

import json

import click
from rich.table import Table

from gate.cli.options import json_option
from gate.cli.registry.target import (
    Target,
    china_time,
    print_json,
    print_table,
    target_options,
)
from gate.registry.views import AuditView


@click.command()
@click.argument("domain")
@json_option
@target_options
def history(target: Target, domain: str, as_json: bool) -> None:
    """Show what became of a domain: its changes, and the orders about it.

    Changes that the log keeps no longer (registry.keep_changes) are missing.
    """
    found = target.history(domain)
    if as_json:
        print_json(found)
        return
    table = Table("time (China)", "what", "status", "licence", "by", "order", "revision", box=None)
    for line in found.items:
        table.add_row(
            china_time(line.time),
            f"{line.what_zh} {line.what}".strip(),
            line.status or line.state,
            line.licence,
            line.actor,
            "" if line.order is None else str(line.order),
            "" if line.revision is None else str(line.revision),
        )
    print_table(table)
    if not found.items:
        click.echo(f"nothing is known of {found.domain}", err=True)
    if found.log_begins_at:
        click.echo(f"changes before revision {found.log_begins_at} are kept no longer", err=True)


@click.command()
@click.argument("text", required=False)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@json_option
@target_options
def audit(target: Target, text: str | None, limit: int, as_json: bool) -> None:
    """Show who did what, the newest first; with TEXT, lines that have it somewhere.

    TEXT may be a domain, a licence number, a token's name, or an operation.
    """
    found = target.audit(text, limit=limit)
    if as_json:
        print_json(*found)
        return
    table = Table("time (China)", "by", "operation", "target", "detail", "revision", box=None)
    for line in found:
        table.add_row(
            china_time(line.time),
            line.actor,
            line.operation,
            line.target,
            _detail(line),
            str(line.revision) if line.revision else "",
        )
    print_table(table)


def _detail(line: AuditView) -> str:
    """Return the details in a few words: what is set, less what stands in the line already."""
    try:
        fields = json.loads(line.detail)
    except ValueError:
        return line.detail
    if not isinstance(fields, dict):
        return line.detail
    shown = (
        f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in fields.items()
        if value not in (None, "", [], line.target)
    )
    return " ".join(shown)[:120]
