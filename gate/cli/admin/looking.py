"""`gate status`, `gate top`, `gate unfiled`."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import click

from gate.cli.admin.client import Client, Unreachable, client_options, print_json
from gate.cli.durations import spoken
from gate.cli.failure import in_utf8
from gate.cli.options import json_option

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_SORTS = ["count", "rate", "last_seen", "first_seen"]
_REASONS = ["unfiled", "filed_elsewhere", "revoked", "suspended", "ip_host"]


@click.command()
@json_option
@client_options
def status(client: Client, as_json: bool) -> None:
    """Show the gate at a glance.

    Exit status: 0 when it is ready, 1 when it is not.
    """
    found = client.get("/v1/status")
    print_json(found) if as_json else click.echo(_status_text(found))
    sys.exit(0 if found["ready"] else 1)


def _status_text(found: dict[str, Any]) -> str:
    state = "ready" if found["ready"] else "not ready"
    up = spoken(_seconds(found["started"], found["now"]))
    connections, replica, cache = found["connections"], found["replica"], found["cache"]
    asked = cache["hits"] + cache["misses"]
    share = f"{100 * cache['hits'] / asked:.1f} % from memory" if asked else "none asked yet"
    lines = [
        f"{found['host']}: {state}, gate {found['version']}, up {up}",
        *(f"  {reason}" for reason in found["reasons"]),
        *(f"  warning: {text}" for text in found["warnings"]),
        f"connections  {connections['open']} open of {connections['limit']}",
        f"last second  {_last(found, 'pass')} passed, {_last(found, 'block')} blocked, "
        f"{_last(found, 'monitor')} monitored only",
        f"verdicts     {share}",
        f"data plane   {_planes_text(found['data_planes'])}",
        f"replica      {replica['entries']} domains, revision {replica['revision']}",
        f"registry     {_sync_text(found['sync'])}",
        f"overrides    {found['exempt']} exempt, {found['suspended']} suspended",
    ]
    for item in found["listeners"]:
        counts = {
            verdict: sum(item["decisions"].get(verdict, {}).values())
            for verdict in ("pass", "block", "monitor")
        }
        lines.append(
            f"listener     {item['name']} ({item['kind']}) {item['address']} {item['mode']}: "
            f"{counts['pass']} passed, {counts['block']} blocked, {counts['monitor']} monitored"
        )
    for item in found["processes"]:
        restarts = f", restarted {item['restarts']} times" if item["restarts"] else ""
        lines.append(
            f"process      {item['name']} {item['pid']}: {item['memory_bytes'] / 1e6:.0f} MB, "
            f"{item['cpu_seconds']:.1f} s of CPU{restarts}"
        )
    return "\n".join(lines)


def _last(found: dict[str, Any], rate: str) -> str:
    values = found["rates"][rate]
    return f"{values[-1]:g}" if values else "0"


def _planes_text(workers: dict[str, int]) -> str:
    shown = [f"{plane} in {count} workers" for plane, count in workers.items() if count]
    return ", ".join(shown) or "no worker has said"


def _sync_text(sync: dict[str, Any] | None) -> str:
    if sync is None:
        return "none; filings are imported"
    state = "stale" if sync["stale"] else "up" if any(sync["connected"].values()) else "away"
    age = sync["staleness_seconds"]
    heard = "never heard" if age is None else f"heard {spoken(age)} ago"
    return f"{state}, {heard}, revision {sync['enforced']} of {sync['head']} in force"


@click.command()
@click.option("--sort", type=click.Choice(_SORTS), default="count", show_default=True)
@click.option("--limit", type=click.IntRange(1, 100_000), help="Rows; 100, or all with --csv.")
@click.option("--reason", type=click.Choice(_REASONS), help="Only names blocked for this reason.")
@click.option("--listener", callback=in_utf8, help="Only names asked for on this listener.")
@click.option("--domain", callback=in_utf8, help="Only this name and those below it.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@client_options
def unfiled(
    client: Client,
    sort: str,
    limit: int | None,
    reason: str | None,
    listener: str | None,
    domain: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the blocked names that are asked for, so that their owners can be told to file."""
    if as_csv and as_json:
        raise click.UsageError("give either --csv or --json")
    query = {"sort": sort, "limit": limit, "reason": reason, "listener": listener, "domain": domain}
    if as_csv:
        click.echo(client.text("/v1/unfiled.csv", **query), nl=False)
        return
    found = client.get("/v1/unfiled", **query)
    if as_json:
        print_json(found)
        return
    for row in found["items"]:
        click.echo(
            f"{row['count']:>9}  {row['reason']:<15}  {row['listener']:<8}  {row['display']}"
            + ("" if row["display"] == row["name"] else f" ({row['name']})")
            + (f"  at {row['destination']}" if row.get("destination") else "")
        )
    more = f", and {found['unlisted']} requests for names not listed" if found["unlisted"] else ""
    click.echo(f"{found['rows']} names since {found['since']}{more}", err=True)


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option(
    "--every", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds."
)
@json_option
@client_options
def top(client: Client, limit: int, every: float, as_json: bool) -> None:
    """Show the names that are blocked most at present.

    On a terminal it is refreshed until Ctrl-C; elsewhere, and with --json, it is shown once.
    """
    found = client.get("/v1/unfiled", sort="rate", limit=limit)
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.print(_table(found))
        return
    from rich.live import Live

    try:
        with Live(_table(found), console=console, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(every)
                live.update(latest(client, limit), refresh=True)
    except KeyboardInterrupt:
        return


def latest(client: Client, limit: int) -> Table | Text:
    """Return the table as it is now, or why there is none: no old rows for new ones."""
    from rich.text import Text

    try:
        answer = client.send("GET", "/v1/unfiled", query={"sort": "rate", "limit": limit})
    except Unreachable as error:
        return Text(str(error))
    if answer.status != HTTPStatus.OK:
        said = answer.fields.get("detail", "no reason given")
        return Text(f"the gate answers {answer.status}: {said}")
    return _table(answer.fields)


def _table(found: dict[str, Any]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("a minute", "in all"):
        table.add_column(title, justify="right")
    # Who hosts them, where connections go to many destinations.
    told = any(row.get("destination") for row in found["items"])
    keys = ["reason", "listener", "destination" if told else "route", "display"]
    for key in keys:
        table.add_column("name" if key == "display" else key, overflow="fold")
    for row in found["items"]:
        # Text and not markup: a name may not style the terminal.
        table.add_row(
            f"{row['per_minute']:.1f}",
            str(row["count"]),
            *(Text(str(row.get(key, ""))) for key in keys),
        )
    return table


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
