"""`gate registry serve | migrate | verify | renew-epoch`."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

import click

from gate import logs
from gate.changes.keys import KeyStoreError
from gate.cli.asking import WaitsForWord, may_go_on
from gate.cli.failure import config_option
from gate.cli.registry.target import Refused, Target, refusals, target_options
from gate.net.bind import BindError, listen
from gate.net.descriptors import raise_limit
from gate.net.tls import TlsError
from gate.registry.errors import RegistryError
from gate.registry.local import Local
from gate.registry.opening import open_registry
from gate.registry.places import Places
from gate.registry.registry import LOCAL
from gate.registry.server import make_service, prefer_latency
from gate.registry.server import serve as serve_registry
from gate.registry.verifying import verify as find_faults
from gate.settings import ConfigError, RegistrySettings, Settings, load

_OPEN_FILES: Final = 65_536


class NotStarted(Refused):
    """Wrong settings, a busy port, a database or key that can't be used: nothing was started."""

    exit_code = 2


@click.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log every request.")
def serve(config: Path | None, verbose: bool) -> None:
    """Run the registry.

    Its settings are the section `registry` of the gate's settings. The schema is brought up to
    date, and the first signing key is made, if need be. Make the first token on the database:

    \b
    gate registry token new ops --role admin --db .run/registry.db
    """
    settings = _settings(config)
    logs.set_up(settings.log)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if verbose:
        logging.getLogger("gate.registry").setLevel(logging.DEBUG)
    registry = settings.registry
    try:
        listener = listen(registry.listen, "registry.listen")
    except BindError as error:
        raise NotStarted(str(error)) from error

    async def main() -> None:
        service = make_service(Places.of(registry, settings.state_dir), registry)
        await serve_registry(service, listener)

    prefer_latency()
    raise_limit(_OPEN_FILES)  # each gate that pulls holds a connection
    with listener:
        try:
            asyncio.run(main())
        except (RegistryError, KeyStoreError, TlsError, OSError) as error:
            raise NotStarted(str(error)) from error


@click.command()
@config_option
@click.option("--db", help="SQLite file or PostgreSQL URL; that of the settings, if not given.")
def migrate(config: Path | None, db: str | None) -> None:
    """Make a database, or bring its schema up to date.

    GATE_REGISTRY_DB names it where neither --db nor --config does.
    """
    if db is None and config is None:
        db = os.environ.get("GATE_REGISTRY_DB") or None
    settings = _settings(config)
    places = Places.of(settings.registry, settings.state_dir)
    if db is not None:
        places = Places(db, places.keys_dir, places.folder)
    with refusals():
        registry = open_registry(places, RegistrySettings())
        head = registry.head()
        registry.database.close()
    where = registry.database.shown
    click.echo(f"{where} is up to date; epoch {head.epoch}, revision {head.revision}")


@click.command()
@target_options
def verify(target: Target) -> None:
    """Check that the records and the change log tell the same (with --db only)."""
    if not isinstance(target, Local):
        raise click.UsageError("verify works on the database: give --db")
    with target.registry.database.read() as connection:
        faults = list(find_faults(connection, target.registry.provider))
    for fault in faults:
        click.echo(fault)
    if faults:
        raise Refused(f"{len(faults)} faults found")
    click.echo("the records and the log agree")


@click.command()
@click.confirmation_option(prompt="Every gate will take a snapshot. Go on?")
@target_options
def renew_epoch(target: Target) -> None:
    """Begin a new epoch, after a backup was restored (with --db only)."""
    if not isinstance(target, Local):
        raise click.UsageError("renew-epoch works on the database: give --db")
    head = target.registry.renew_epoch(actor=LOCAL)
    click.echo(f"epoch {head.epoch} begins at revision {head.revision}")


@click.command("accept-set")
@click.option("--reason", required=True, help="Why, for the audit trail.")
@click.option("--yes", is_flag=True, help="Go on without asking.")
@target_options
def accept_set(target: Target, reason: str, yes: bool) -> None:
    """Have the set given to gates as it is, although it has shrunk.

    A set with fewer filed domains than were given out last, which the log does not explain, waits
    for this word. Is it the right database, with all that was filed?
    """
    head = target.head()
    what = f"{head.filed} domains are filed"
    if head.held is not None:
        what += f", and {head.held.before} were in the set that was given out last"
    if not yes and not may_go_on(what):
        raise WaitsForWord(f"{what}; nothing was changed, --yes accepts it")
    target.accept_set(reason)
    click.echo(f"accepted: {head.filed} filed domains, revision {head.revision}")


@click.command()
@click.argument("new", required=False)
@click.option("--dry-run", is_flag=True, help="Show what would open and close, change nothing.")
@click.option("--yes", is_flag=True, help="Go on without asking.")
@target_options
def provider(target: Target, new: str | None, dry_run: bool, yes: bool) -> None:
    """Show whose registry the database is, or make it NEW's (with --db only).

    A domain is `filed` if it has an access filing with this provider, else `filed_elsewhere`: in
    the name of another one, domains open and close. Stop the registry first, and set
    registry.provider before it starts again.
    """
    if not isinstance(target, Local):
        raise click.UsageError("provider works on the database: give --db")
    registry = target.registry
    if new is None:
        click.echo(registry.provider)
        return
    moved = registry.change_provider(new, actor=LOCAL, dry_run=True)
    what = f"for the provider {new}, {moved.opening} domains open and {moved.closing} close"
    if moved.closed:
        what += f", such as {', '.join(moved.closed)}"
    if dry_run:
        click.echo(f"{what}; nothing was changed")
        return
    if not yes and not may_go_on(what):
        raise WaitsForWord(f"{what}; nothing was changed, --yes goes on")
    moved = registry.change_provider(new, actor=LOCAL)
    click.echo(f"{new}: {moved.opening} domains opened, {moved.closing} closed")


def _settings(config: Path | None) -> Settings:
    try:
        return load(config)
    except ConfigError as error:
        raise NotStarted(str(error)) from error
