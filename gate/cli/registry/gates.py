"""`gate registry gates`."""

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


@click.command()
@json_option
@target_options
def gates(target: Target, as_json: bool) -> None:
    """List the gates that tell what they enforce, and how far each is behind."""
    found = target.gates()
    if as_json:
        print_json(*found)
        return
    table = Table(
        "gate", "channel", "revision", "behind", "since (China)", "heard (China)", box=None
    )
    for gate in found:
        behind = "another epoch" if gate.lag is None else str(gate.lag)
        since, seen = china_time(gate.since), china_time(gate.seen_at)
        table.add_row(gate.gate, gate.channel, str(gate.revision), behind, since, seen)
    print_table(table)
