"""`gate registry unfiled`."""

from __future__ import annotations

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
from gate.policy.verdict import REMINDED
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
    rows = list(found)
    # Who hosts them, where gates stand in front of many hosts.
    told = ("hosts",) if any(row.destinations for row in rows) else ()
    table = Table(
        "name", "reason", "count", "first seen (China)", "last seen", "gates", *told, box=None
    )
    for row in rows:
        gates = " ".join(at.gate for at in row.gates)
        first, last = china_time(row.first_seen), china_time(row.last_seen)
        hosts = [" ".join(at.address for at in row.destinations)] if told else []
        table.add_row(row.display, row.reason, str(row.count), first, last, gates, *hosts)
    print_table(table)
