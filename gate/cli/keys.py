"""`gate keys …` and `gate certs …`."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path

import click

from gate.changes.keys import KeyStore, KeyStoreError
from gate.cli import certs as certificates
from gate.cli.certs import CertsError

_folder = click.option(
    "--dir",
    "folder",
    envvar="GATE_REGISTRY__KEYS_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".run/keys"),
    show_default=True,
    help="The registry's key folder.",
)


@click.group()
def keys() -> None:
    """The keys that sign the registry's changes.

    Everything is signed with every active key, so to rotate: make a new one, copy public.json to
    the gates, retire the old one, copy public.json again. Nothing has to be restarted.
    """


@keys.command()
@_folder
def new(folder: Path) -> None:
    """Make a key, active at once."""
    store = KeyStore(folder)
    try:
        key = store.new()
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{key.keyid}")
    click.echo(f"gates trust the keys in {store.public_path}; copy it to them", err=True)


@keys.command("list")
@_folder
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_keys(folder: Path, as_json: bool) -> None:
    """Show the active keys, oldest first."""
    try:
        active = KeyStore(folder).list()
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from error
    for key in active:
        if as_json:
            click.echo(json.dumps(key.model_dump()))
        else:
            made = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(key.created))
            click.echo(f"{key.keyid}  {made}")
    if not active and not as_json:
        click.echo(f"no keys in {folder}; make one with: gate keys new", err=True)


@keys.command()
@_folder
@click.argument("keyid")
@click.option("--last", is_flag=True, help="Even if it is the only key: nothing is signed then.")
def retire(folder: Path, keyid: str, last: bool) -> None:
    """Destroy the key whose id starts with KEYID; gates that trust only it fall behind."""
    store = KeyStore(folder)
    try:
        key = store.retire(keyid, last=last)
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"retired {key.keyid}")
    click.echo(f"copy {store.public_path} to the gates, so that they trust it no more", err=True)


@click.group()
def certs() -> None:
    """Certificates for the channels between registry and gates."""


@certs.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("certs"),
    show_default=True,
)
@click.option(
    "--name",
    "names",
    multiple=True,
    default=("localhost", "127.0.0.1", "::1"),
    show_default=True,
    help="A host name or IP address of the registry or a gate; may be given again.",
)
def init(folder: Path, names: tuple[str, ...]) -> None:
    """Make a development CA, and certificates for registry and gate, good for a year."""
    try:
        made = certificates.init(folder, names, now=datetime.datetime.now(datetime.UTC))
    except CertsError as error:
        raise click.ClickException(str(error)) from error
    for path in made:
        click.echo(path)
