"""`gate registry show | search | applications`."""

from __future__ import annotations

from typing import get_args

import click
from rich.table import Table

from gate.registry.cli.target import Target, json_option, print_json, print_table, target_options
from gate.registry.views import FilingView, StatusName, SubjectDetail


@click.command()
@click.argument("what")
@json_option
@target_options
def show(target: Target, what: str, as_json: bool) -> None:
    """Show the record of a domain, or of a subject by its licence number."""
    if "ICP" in what and "-" not in what:
        subject = target.subject(what)
        if as_json:
            print_json(subject)
        else:
            _print_subject(subject)
        return
    found = list(target.search(q=what, limit=20)) if "ICP" in what else [target.filing(what)]
    if as_json:
        print_json(*found)
        return
    for filing in found:
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
    """Search filings by domain, licence number or part of a subject's name."""
    found = target.search(q=text, status=status, limit=limit)
    if as_json:
        print_json(*found)
        return
    table = Table("domain", "status", "licence", "subject", "account", box=None)
    for filing in found:
        subject = filing.subject
        table.add_row(
            filing.display,
            filing.status,
            filing.licence,
            subject.name if subject else "",
            (subject.account or "") if subject else "",
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
    table = Table("number", "kind", "state", "domains", "licence", "reason", box=None)
    for item in found:
        domains = " ".join(item.request.service.domains)
        table.add_row(str(item.id), item.kind, item.state, domains, item.licence, item.reason)
    print_table(table)


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
        ("revision", str(filing.revision)),
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
