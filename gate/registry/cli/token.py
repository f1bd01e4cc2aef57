"""`gate registry token new | list | revoke`."""

from __future__ import annotations

import time

import click

from gate.registry.cli.target import Target, json_option, print_json, target_options
from gate.registry.commands import Role


@click.group()
def token() -> None:
    """Make, list and revoke the API's tokens."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option(
    "--days", type=click.IntRange(1, 3660), help="How long it lives; for good, if not given."
)
@target_options
def new(target: Target, name: str, role: str, days: int | None) -> None:
    """Make a token; its text is printed this once."""
    lifetime = None if days is None else days * 86400
    info, text = target.make_token(name=name, role=Role(role), lifetime=lifetime)
    click.echo(f"token {info.id} ({info.role}); it is not shown again:", err=True)
    click.echo(text)


@token.command("list")
@json_option
@target_options
def list_tokens(target: Target, as_json: bool) -> None:
    """List all tokens, without their secrets."""
    found = target.tokens()
    if as_json:
        print_json(*found)
        return
    for info in found:
        state = "revoked" if info.revoked_at else _until(info.expires_at)
        click.echo(f"{info.id}  {info.role:<9}  {state:<21}  {info.name}")


@token.command()
@click.argument("token_id")
@target_options
def revoke(target: Target, token_id: str) -> None:
    """End a token at once, by its id."""
    target.revoke_token(token_id)
    click.echo(f"token {token_id} is revoked")


def _until(expires: int | None) -> str:
    if expires is None:
        return "for good"
    if expires <= time.time():
        return "expired"
    return "until " + time.strftime("%Y-%m-%d %H:%M", time.localtime(expires))
