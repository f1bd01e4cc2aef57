"""`gate registry blocked`, `idle`, `hollow` and `networks`: what only gates know."""

from __future__ import annotations

import csv
from pathlib import Path

import click
from rich.table import Table

from gate.cli.options import json_option
from gate.cli.registry.order import take
from gate.cli.registry.target import (
    Target,
    china_time,
    print_json,
    print_table,
    target_options,
)
from gate.registry.orders.commands import NewOrder
from gate.registry.sightings.views import MAX_NETWORKS, NetworkOwner

_limit_option = click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)


@click.command()
@click.option("--account", help="Only what seems this account's.")
@click.option("--order", "domain", metavar="DOMAIN", help="Make the draft order for this domain.")
@_limit_option
@json_option
@target_options
def blocked(
    target: Target, account: str | None, domain: str | None, limit: int, as_json: bool
) -> None:
    """List blocked domains with the accounts whose they seem, and why; make the draft of one."""
    if domain is not None:
        _make_draft(target, account, domain, as_json=as_json)
        return
    found = target.blocked(account, limit=limit)
    if as_json:
        print_json(*found)
        return
    table = Table(
        "domain", "reason", "requests", "last seen (China)", "account", "why", "order", box=None
    )
    for row in found:
        order = "draft ready" if row.draft is not None else str(row.order or "")
        table.add_row(
            row.display,
            row.reason,
            str(row.requests),
            china_time(row.last_seen),
            row.account,
            row.evidence.en,
            order,
        )
    print_table(table)


def _make_draft(target: Target, account: str | None, domain: str, *, as_json: bool) -> None:
    row = next(target.blocked(account, domain, limit=1), None)
    if row is None:
        raise click.ClickException(
            f"{domain} is not among the blocked domains that seem an account's; see "
            "`gate registry blocked`"
        )
    if row.draft is None:
        why = f"order {row.order} names it already" if row.order else "no order would open it"
        raise click.ClickException(f"{domain}: {why}")
    take(target, NewOrder(account=row.account, entry=row.draft), as_json=as_json)


@click.command()
@click.option("--days", type=click.IntRange(1, 3650), help="Days without traffic.")
@_limit_option
@json_option
@target_options
def idle(target: Target, days: int | None, limit: int, as_json: bool) -> None:
    """List filed domains that no gate has seen traffic for in some days."""
    watch, found = target.idle(days, limit=limit)
    if as_json:
        print_json(watch, *found)
        return
    if not watch.sufficient:
        since = f"since {watch.since}" if watch.since else "not at all"
        silent = f"; silent gates: {' '.join(watch.silent)}" if watch.silent else ""
        click.echo(
            f"nothing can be said of {watch.days} days: gates report traffic without a gap "
            f"{since}{silent} (setting traffic_report.enabled)",
            err=True,
        )
        return
    table = Table("domain", "licence", "subject", "account", "last traffic (China)", box=None)
    for row in found:
        last = "never" if row.last_day is None else row.last_day.isoformat()
        table.add_row(row.display, row.licence, row.subject, row.account or "", last)
    print_table(table)


@click.command()
@_limit_option
@json_option
@target_options
def hollow(target: Target, limit: int, as_json: bool) -> None:
    """List subjects on record without any service (空壳主体)."""
    found = target.hollow(limit=limit)
    if as_json:
        print_json(*found)
        return
    table = Table("subject", "name", "account", "since (China)", box=None)
    for row in found:
        table.add_row(row.licence, row.name, row.account or "", china_time(row.since))
    print_table(table)


@click.command()
@click.option(
    "--import",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV file with the columns network and account; an empty account ends an entry.",
)
@_limit_option
@json_option
@target_options
def networks(target: Target, source: Path | None, limit: int, as_json: bool) -> None:
    """List whose hosts are in which networks of the provider, or import that from a file."""
    if source is not None:
        owners = _read(source)
        for start in range(0, len(owners), MAX_NETWORKS):
            target.put_networks(owners[start : start + MAX_NETWORKS])
        click.echo(f"{len(owners)} networks")
        return
    found = target.networks(limit=limit)
    if as_json:
        print_json(*found)
        return
    table = Table("network", "account", box=None)
    for row in found:
        table.add_row(row.network, row.account or "")
    print_table(table)


def _read(source: Path) -> list[NetworkOwner]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"network", "account"} <= set(rows.fieldnames or ()):
                raise click.ClickException(f"{source} lacks the columns network and account")
            return [
                NetworkOwner(network=row["network"] or "", account=row["account"] or None)
                for row in rows
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise click.ClickException(f"{source} can't be read: {error}") from error
