"""Which registry a command works with, and how its refusals are shown."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeAlias

import click
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table

from gate.registry.client import Remote, RemoteError
from gate.registry.errors import RegistryError
from gate.registry.places import ACCESS_FILE, Places
from gate.registry.shapes import invalid
from gate.settings import Registry as RegistrySettings

if TYPE_CHECKING:
    from gate.registry.local import Local

P = ParamSpec("P")

Target: TypeAlias = "Local | Remote"

_PATH = click.Path(path_type=Path)


@dataclass(slots=True, frozen=True)
class ClientFiles:
    """PEM files for an https registry."""

    ca: Path | None
    certificate: Path | None
    key: Path | None


class Refused(click.ClickException):
    """The registry refused, or could not be used; exit status 1."""

    def __init__(self, en: str, zh: str = "", code: str = "") -> None:
        super().__init__(en)
        self.zh = zh
        self.code = code

    def show(self, file: Any = None) -> None:
        """Print the Chinese text first, then the English one."""
        if self.zh:
            click.echo(self.zh, err=True)
        click.echo(f"Error: {self.message}" + (f" [{self.code}]" if self.code else ""), err=True)


def target_options(
    command: Callable[Concatenate[Target, P], None],
) -> Callable[..., None]:
    """Give a command the options that name a registry, and the registry as its first argument."""

    @click.option("--url", envvar="GATE_REGISTRY_URL", help="URL of the registry.")
    @click.option(
        "--token",
        envvar="GATE_REGISTRY_TOKEN",
        help="Bearer token, or @FILE; better given as GATE_REGISTRY_TOKEN.",
    )
    @click.option("--ca", type=_PATH, help="CA that signed the registry's certificate.")
    @click.option("--cert", type=_PATH, help="Client certificate to show the registry.")
    @click.option("--key", type=_PATH, help="The client certificate's private key.")
    @click.option(
        "--db", envvar="GATE_REGISTRY_DB", help="SQLite file or PostgreSQL URL to work on."
    )
    @click.option("--provider", default="gate", show_default=True, help="With --db: own id.")
    @click.option(
        "--state-dir",
        type=_PATH,
        default=Path(".run"),
        show_default=True,
        help="Folder of a running `gate serve` with a registry inside.",
    )
    @functools.wraps(command)
    def wrapped(
        url: str | None,
        token: str | None,
        ca: Path | None,
        cert: Path | None,
        key: Path | None,
        db: str | None,
        provider: str,
        state_dir: Path,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        with refusals():
            files = ClientFiles(ca, cert, key)
            target = find_target(url, token, files, db, provider, state_dir)
            try:
                command(target, *args, **kwargs)
            finally:
                target.close()

    return wrapped


class refusals:
    """Turn refusals of any sort into one that click shows."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RegistryError):
            raise Refused(error.en, error.zh, error.code) from error
        if isinstance(error, RemoteError):
            raise Refused(error.en, error.zh, error.code) from error
        if isinstance(error, ValidationError):
            found = invalid(error)
            raise Refused(found.en, found.zh, found.code) from error


def find_target(
    url: str | None,
    token: str | None,
    files: ClientFiles,
    db: str | None,
    provider: str,
    state_dir: Path,
) -> Target:
    """The registry that the options mean. Raises click.UsageError, RemoteError, RegistryError."""
    if url and db:
        raise click.UsageError("give either --url or --db")
    if db:
        return _local(Places(db, state_dir / "keys", state_dir / "registry"), provider)
    if url:
        if not token:
            raise click.UsageError("a token is needed with --url: --token or GATE_REGISTRY_TOKEN")
        return _remote(url, _token(token), files)
    access = state_dir / "registry" / ACCESS_FILE
    try:
        found = json.loads(access.read_text())
        return _remote(found["url"], _token(token) if token else found["token"], files)
    except FileNotFoundError:
        _no_target(f"there is no {access}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        _no_target(f"{access} can't be used: {error}")


def _local(places: Places, provider: str) -> Local:
    # Only now: the database takes half a second to load, and a remote one needs none of it.
    from gate.registry.local import Local
    from gate.registry.opening import open_registry

    return Local(open_registry(places, RegistrySettings(provider=provider)))


def _remote(url: str, token: str, files: ClientFiles) -> Remote:
    return Remote(url, token, ca=files.ca, certificate=files.certificate, key=files.key)


def _no_target(reason: str) -> NoReturn:
    raise click.UsageError(
        f"which registry? Give --url and --token, or --db, or --state-dir; {reason}"
    )


def _token(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text().strip()
    except OSError as error:
        raise click.UsageError(f"the token file {text[1:]} can't be read: {error}") from error


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(*models: BaseModel) -> None:
    """One JSON object a line."""
    for model in models:
        click.echo(model.model_dump_json())


def print_table(table: Table) -> None:
    """A table, wide enough for a pipe."""
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)
