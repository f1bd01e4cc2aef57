"""`gate registry show | search | applications`."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

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
from gate.licence import SubjectNumber, looks_like_licence
from gate.names import InvalidName, canonical, to_display
from gate.registry.fields import parse_licence
from gate.registry.orders.working_days import CHINA
from gate.registry.views import FilingView, FleetOverrideView, StatusName, SubjectDetail


@click.command()
@click.argument("what")
@json_option
@target_options
def show(target: Target, what: str, as_json: bool) -> None:
    """Show the record of a domain, or of a subject by its licence number.

    For a name below a filed domain (www.example.cn) that is the filing that covers it.
    """
    is_number = looks_like_licence(what)
    if is_number and isinstance(parse_licence(what), SubjectNumber):
        subject = target.subject(what)
        if as_json:
            print_json(subject)
        else:
            _print_subject(subject)
        return
    found = list(target.search(q=what, limit=20)) if is_number else [target.filing(what)]
    if as_json:
        print_json(*found)
        return
    for filing in found:
        if not is_number:
            _tell_covered(what, filing)
        _print_filing(filing)
    if not found:
        raise click.ClickException(f"no filing has the licence number {what}")


@click.command()
@click.argument("text", required=False)
@click.option("--status", type=click.Choice(get_args(StatusName)))
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@json_option
@target_options
def search(target: Target, text: str | None, status: str | None, limit: int, as_json: bool) -> None:
    """Search filings by the beginning of a domain, a licence number, or part of a subject's name.

    A name below a filed domain finds that.
    """
    found = target.search(q=text, status=status, limit=limit)
    if as_json:
        print_json(*found)
        return
    table = Table("domain", "status", "licence", "subject", "account", "changed (China)", box=None)
    for filing in found:
        subject = filing.subject
        table.add_row(
            filing.display,
            filing.status,
            filing.licence,
            subject.name if subject else "",
            (subject.account or "") if subject else "",
            china_time(filing.changed_at),
        )
    print_table(table)


@click.command()
@click.option("--state", type=click.Choice(["submitted", "approved", "rejected"]))
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@json_option
@target_options
def applications(target: Target, state: str | None, limit: int, as_json: bool) -> None:
    """List applications."""
    found = target.applications(state=state, limit=limit)
    if as_json:
        print_json(*found)
        return
    table = Table(
        *("number", "kind", "state", "domains", "subject", "submitted (China)", "licence"),
        "reason",
        box=None,
    )
    for item in found:
        domains = " ".join(item.request.service.domains)
        asked = item.request.subject
        table.add_row(
            str(item.id),
            item.kind,
            item.state,
            domains,
            asked.name if asked else "",
            china_time(item.submitted_at),
            item.licence,
            item.reason,
        )
    print_table(table)


def _tell_covered(what: str, filing: FilingView) -> None:
    """Say so if it is another name's filing that was found."""
    try:
        name = canonical(what.strip().encode()).name
    except InvalidName:
        return
    if name != filing.domain:
        click.echo(f"{to_display(name)} is covered by {filing.display}:")


def override_line(override: FleetOverrideView) -> str:
    """Return an exemption or a suspension in a line."""
    end = "until it is ended"
    if override.until is not None:
        end = datetime.fromtimestamp(override.until, CHINA).strftime(
            "until %Y-%m-%d %H:%M:%S (China)"
        )
    return f"{override.kind} at every gate {end} (by {override.by}: {override.reason})"


def _print_filing(filing: FilingView) -> None:
    rows = [
        ("domain", filing.domain if filing.display == filing.domain else filing.display),
        ("A-label", "" if filing.display == filing.domain else filing.domain),
        ("status", filing.status),
        ("licence", filing.licence),
        ("service", f"{filing.service} ({filing.kind})" if filing.service else ""),
        ("subject", f"{filing.subject.name} {filing.subject.licence}" if filing.subject else ""),
        ("account", (filing.subject.account or "") if filing.subject else ""),
        ("providers", " ".join(filing.providers)),
        ("changed", f"{china_time(filing.changed_at)} (China), revision {filing.revision}"),
        ("override", override_line(filing.override) if filing.override else ""),
    ]
    for label, value in rows:
        if value:
            click.echo(f"{label:<10}{value}")


def _print_subject(subject: SubjectDetail) -> None:
    click.echo(f"{'subject':<10}{subject.name} ({subject.kind})")
    click.echo(f"{'licence':<10}{subject.licence}")
    click.echo(f"{'account':<10}{subject.account or ''}")
    for service in subject.services:
        state = " suspended" if service.suspended else ""
        click.echo(f"  {service.licence} {service.name}: {' '.join(service.domains)}{state}")
