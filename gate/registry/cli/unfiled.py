"""`gate registry unfiled`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.table import Table

from gate.policy.verdict import REMINDED
from gate.registry.cli.target import Target, json_option, print_json, print_table, target_options
from gate.registry.unfiled import Sort, UnfiledQuery, write_csv


@click.command()
@click.option("--gate", help="Only what this gate reported.")
@click.option(
    "--reason",
    type=click.Choice(sorted(reason.value for reason in REMINDED)),
    help="Only for this reason.",
)
@click.option(
    "--sort",
    type=click.Choice([sort.value for sort in Sort]),
    default=Sort.COUNT.value,
    show_default=True,
    help="Most requests, latest request, or name first.",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@target_options
def unfiled(
    target: Target,
    gate: str | None,
    reason: str | None,
    sort: str,
    limit: int,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List blocked names that visitors ask for, summed up over the gates that report them."""
    found = target.unfiled(UnfiledQuery(gate=gate, reason=reason, sort=Sort(sort)), limit=limit)
    if as_json:
        print_json(*found)
        return
    if as_csv:
        for piece in write_csv(found):
            click.echo(piece, nl=False)
        return
    table = Table("name", "reason", "count", "first seen", "last seen", "gates", box=None)
    for row in found:
        gates = " ".join(at.gate for at in row.gates)
        first, last = _shown(row.first_seen), _shown(row.last_seen)
        table.add_row(row.display, row.reason, str(row.count), first, last, gates)
    print_table(table)


def _shown(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
