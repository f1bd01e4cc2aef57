"""`gate exempt`, `gate suspend`, `gate unexempt`, `gate unsuspend`, `gate overrides`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from gate.cli.admin.client import Client, client_options, print_json
from gate.cli.failure import in_utf8
from gate.cli.options import (
    domain_argument,
    exemption_length,
    json_option,
    override_reason,
    suspension_length,
)


@click.command()
@domain_argument
@exemption_length
@override_reason
@json_option
@client_options
def exempt(client: Client, domain: str, seconds: float, reason: str, as_json: bool) -> None:
    """Let DOMAIN and all names below it through, filed or not, for a time."""
    _put(client, domain, as_json, kind="exempt", seconds=seconds, reason=reason)


@click.command()
@domain_argument
@suspension_length("unsuspended")
@override_reason
@json_option
@client_options
def suspend(client: Client, domain: str, seconds: float | None, reason: str, as_json: bool) -> None:
    """Block DOMAIN and all names below it, although it is filed.

    What is open for it is cut.
    """
    _put(client, domain, as_json, kind="suspended", seconds=seconds, reason=reason)


def _put(client: Client, domain: str, as_json: bool, **body: object) -> None:
    done = client.change("PUT", f"/v1/overrides/{quote(domain, safe='')}", **body)
    print_json(done) if as_json else click.echo(f"{_line(done)}; in force in every worker")


@click.command()
@domain_argument
@click.option("--reason", callback=in_utf8, default="", help="Why, for the audit log.")
@json_option
@client_options
def unexempt(client: Client, domain: str, reason: str, as_json: bool) -> None:
    """End the exemption of DOMAIN."""
    _remove(client, domain, reason, as_json, kind="exempt")


@click.command()
@domain_argument
@click.option("--reason", callback=in_utf8, default="", help="Why, for the audit log.")
@json_option
@client_options
def unsuspend(client: Client, domain: str, reason: str, as_json: bool) -> None:
    """End the suspension of DOMAIN."""
    _remove(client, domain, reason, as_json, kind="suspended")


def _remove(client: Client, domain: str, reason: str, as_json: bool, *, kind: str) -> None:
    done = client.delete(f"/v1/overrides/{quote(domain, safe='')}", reason=reason, kind=kind)
    print_json(done) if as_json else click.echo(f"{done['domain']}: no longer {kind}")


@click.command()
@json_option
@client_options
def overrides(client: Client, as_json: bool) -> None:
    """List the domains that operators have exempted or suspended."""
    found = client.get("/v1/overrides")
    if as_json:
        print_json(found)
    elif not found["items"]:
        click.echo("no domain is exempt or suspended")
    for item in [] if as_json else found["items"]:
        click.echo(f"{_line(item)} (by {item['by']}: {item['reason']})")


def _line(override: dict[str, Any]) -> str:
    end = f"until {override['until']}" if override["until"] else "until it is removed"
    return f"{override['domain']}: {override['kind']} {end}"
