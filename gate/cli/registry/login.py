"""`gate registry login | logout`."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli.options import TlsFiles, tls_options
from gate.cli.registry.profile import Profile, forget_profile, keep_profile, profile_path
from gate.cli.registry.target import Refused, read_token, refusals, remote

_THERE = click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True)


@click.command()
@click.argument("url")
@click.option(
    "--token",
    envvar="GATE_REGISTRY_TOKEN",
    help="Bearer token, or @FILE. Asked for, if not given, so that it stands in no history.",
)
@tls_options("the registry", path=_THERE)
def login(url: str, token: str | None, files: TlsFiles) -> None:
    """Keep a registry's address and token, for the other commands to use.

    They are tried first, and kept in a file that only you may read.
    """
    text = read_token(token) if token else click.prompt("token", hide_input=True, err=True)
    profile = Profile(url, text, files.ca, files.certificate, files.key)
    with refusals():
        head = remote(url, text, files).head()
    try:
        path = keep_profile(profile)
    except OSError as error:
        raise Refused(f"{profile_path()} can't be written: {error}") from error
    click.echo(
        f"{url} has {head.domains} domains on record, at revision {head.revision}. "
        f"The commands use it from now on ({path})."
    )


@click.command()
def logout() -> None:
    """Forget the registry that was logged in to. The token goes on being valid: revoke it."""
    try:
        there = forget_profile()
    except OSError as error:
        raise Refused(f"{profile_path()} can't be removed: {error}") from error
    click.echo("forgotten" if there else "nobody was logged in")
