"""`gate registry override exempt | suspend | end | list`."""

from __future__ import annotations

import click

from gate.cli.failure import in_utf8
from gate.cli.options import (
    domain_argument,
    exemption_length,
    json_option,
    override_reason,
    suspension_length,
)
from gate.cli.registry.filing import perform
from gate.cli.registry.records import override_line
from gate.cli.registry.target import Target, print_json, target_options
from gate.registry.commands import EndOverride, ExemptDomain, SuspendDomain


@click.group()
def override() -> None:
    """Exempt or suspend domains at every gate, for a time.

    What is on record stays as it is; the gates get the decision by the change log, and its end.
    """


@override.command()
@domain_argument
@exemption_length
@override_reason
@json_option
@target_options
def exempt(target: Target, domain: str, seconds: float, reason: str, as_json: bool) -> None:
    """Let DOMAIN and all names below it pass at every gate, filed or not."""
    command = ExemptDomain(domain=domain, seconds=int(seconds), reason=reason)
    perform(target, command, as_json=as_json)


@override.command()
@domain_argument
@suspension_length("it is ended")
@override_reason
@json_option
@target_options
def suspend(target: Target, domain: str, seconds: float | None, reason: str, as_json: bool) -> None:
    """Block DOMAIN and all names below it at every gate, although it is filed."""
    length = None if seconds is None else int(seconds)
    command = SuspendDomain(domain=domain, seconds=length, reason=reason)
    perform(target, command, as_json=as_json)


@override.command()
@domain_argument
@click.option("--reason", callback=in_utf8, default="", help="Why, for the audit trail.")
@json_option
@target_options
def end(target: Target, domain: str, reason: str, as_json: bool) -> None:
    """End the exemption or suspension of DOMAIN: the gates get what is on record."""
    perform(target, EndOverride(domain=domain, reason=reason), as_json=as_json)


@override.command("list")
@json_option
@target_options
def list_(target: Target, as_json: bool) -> None:
    """List what is exempt or suspended at every gate."""
    found = target.overrides()
    if as_json:
        print_json(*found)
        return
    for one in found:
        click.echo(f"{one.domain}: {override_line(one)}")
    if not found:
        click.echo("no domain is exempt or suspended at every gate")
