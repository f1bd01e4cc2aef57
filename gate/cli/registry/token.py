"""`gate registry token new | generate | adopt | list | revoke`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from gate.cli.options import json_option
from gate.cli.registry.target import Target, print_json, target_options
from gate.registry.commands import Role
from gate.registry.local import Local
from gate.registry.registry import LOCAL
from gate.registry.tokens import random_token


@click.group()
def token() -> None:
    """Make, list and revoke the API's tokens."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option(
    "--days", type=click.IntRange(1, 3660), help="How long it lives; for good, if not given."
)
@click.option("--account", help="The account of an owner's token.")
@target_options
def new(target: Target, name: str, role: str, days: int | None, account: str | None) -> None:
    """Make a token; its text is printed this once."""
    lifetime = None if days is None else days * 86400
    info, text = target.make_token(name=name, role=Role(role), lifetime=lifetime, account=account)
    click.echo(f"token {info.id} ({info.role}); it is not shown again:", err=True)
    click.echo(text)


@token.command()
def generate() -> None:
    """Print a token that no registry knows yet, for `token adopt` and for who is to use it."""
    click.echo(random_token())


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="File with the token's text.",
)
@target_options
def adopt(target: Target, name: str, role: str, source: Path) -> None:
    """Take in a token that was made elsewhere (with --db only); again, it changes nothing.

    For set-ups that hand out secrets by themselves, such as Kubernetes: `token generate` makes
    one, both sides get it as a file.
    """
    if not isinstance(target, Local):
        raise click.UsageError("adopt works on the database: give --db")
    try:
        text = source.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--from {source} can't be read: {error}") from error
    info, new_here = target.registry.tokens.adopt(text, name=name, role=Role(role), actor=LOCAL)
    known = "" if new_here else ", as before"
    click.echo(f"token {info.id} ({info.role}) is known{known}")


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
