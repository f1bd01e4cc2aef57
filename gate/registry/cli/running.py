"""`gate registry serve | migrate | verify | renew-epoch`."""

from __future__ import annotations

import asyncio
import logging
import resource
from pathlib import Path
from typing import Final

import click

from gate import logs
from gate.registry.binding import bind
from gate.registry.cli.target import Refused, Target, refusals, target_options
from gate.registry.errors import RegistryError
from gate.registry.local import Local
from gate.registry.opening import open_registry
from gate.registry.places import Places
from gate.registry.registry import LOCAL
from gate.registry.server import make_service, prefer_latency
from gate.registry.server import serve as serve_registry
from gate.registry.verifying import verify as find_faults
from gate.settings import ConfigError, Settings, load
from gate.settings import Registry as RegistrySettings
from gate.sync.keys import KeyStoreError
from gate.sync.tls import TlsError

_OPEN_FILES: Final = 65_536


class NotStarted(Refused):
    """Wrong settings, a busy port, a database or key that can't be used: nothing was started."""

    exit_code = 2


config_option = click.option(
    "--config",
    envvar="GATE_CONFIG",
    type=click.Path(path_type=Path),
    help="YAML file of settings; the defaults, if not given.",
)


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
        listener = bind(registry.listen.host, registry.listen.port)
    except OSError as error:
        raise NotStarted(f"can't listen on {registry.listen}: {error.strerror}") from error

    async def main() -> None:
        service = make_service(Places.of(registry, settings.state_dir), registry)
        await serve_registry(service, listener)

    prefer_latency()
    _allow_open_files()
    with listener:
        try:
            asyncio.run(main())
        except (RegistryError, KeyStoreError, TlsError, OSError) as error:
            raise NotStarted(str(error)) from error


def _allow_open_files() -> None:
    """Raise the limit of open files as far as it goes: each gate that pulls holds a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@click.command()
@config_option
@click.option("--db", help="SQLite file or PostgreSQL URL; that of the settings, if not given.")
def migrate(config: Path | None, db: str | None) -> None:
    """Bring the database's schema up to date."""
    settings = _settings(config)
    places = Places.of(settings.registry, settings.state_dir)
    if db is not None:
        places = Places(db, places.keys_dir, places.folder)
    with refusals():
        registry = open_registry(places, RegistrySettings())
        head = registry.head()
        registry.database.close()
    click.echo(f"the schema is up to date; epoch {head.epoch}, revision {head.revision}")


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


def _settings(config: Path | None) -> Settings:
    try:
        return load(config)
    except ConfigError as error:
        raise NotStarted(str(error)) from error
