"""Which registry a command works with, and how its refusals are shown."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeAlias

import click
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError

from gate.cli.failure import in_utf8
from gate.cli.options import TlsFiles, tls_options
from gate.cli.registry.profile import Profile, ProfileError, read_profile
from gate.registry.client import Remote, RemoteError
from gate.registry.errors import RegistryError
from gate.registry.orders.working_days import CHINA
from gate.registry.places import ACCESS_FILE, Places
from gate.registry.shapes import invalid
from gate.settings import RegistrySettings

if TYPE_CHECKING:
    from rich.table import Table

    from gate.registry.local import Local

P = ParamSpec("P")

Target: TypeAlias = "Local | Remote"

_PATH = click.Path(path_type=Path)
_STATE_DIR = Path(".run")


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
    @tls_options("the registry")
    @click.option(
        "--db", envvar="GATE_REGISTRY_DB", help="SQLite file or PostgreSQL URL to work on."
    )
    @click.option("--provider", help="With --db: own id; that of the database, if not given.")
    @click.option(
        "--state-dir",
        type=_PATH,
        help="Folder of a running `gate serve` with an embedded registry; .run, if nothing else is "
        "named and `gate registry login` has kept nothing.",
    )
    @functools.wraps(command)
    def wrapped(
        url: str | None,
        token: str | None,
        files: TlsFiles,
        db: str | None,
        provider: str | None,
        state_dir: Path | None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        _check_texts(click.get_current_context())
        with refusals():
            url, db = _as_given(url, db)
            target = find_target(url, token, files, db, provider, state_dir)
            try:
                command(target, *args, **kwargs)
            finally:
                target.close()

    return wrapped


def _check_texts(context: click.Context) -> None:
    """Fail for an argument or option whose bytes are not UTF-8; --db may be any path."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name != "db":
            for text in value if isinstance(value, tuple) else (value,):
                in_utf8(context, parameter, text if isinstance(text, str) else None)


def _as_given(url: str | None, db: str | None) -> tuple[str | None, str | None]:
    """Return the --url and --db that count: what is written beats the environment."""
    context = click.get_current_context()
    written = {
        name
        for name in ("url", "db", "state_dir")
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if not written:
        return url, db
    return url if "url" in written else None, db if "db" in written else None


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
    files: TlsFiles,
    db: str | None,
    provider: str | None,
    state_dir: Path | None,
) -> Target:
    """Return the registry that the options mean, or else the one that was logged in to.

    Raises click.UsageError, RemoteError, RegistryError.
    """
    if url and db:
        raise click.UsageError("give either --url or --db")
    if db:
        folder = state_dir or _STATE_DIR
        return _local(Places(db, folder / "keys", folder / "registry"), provider)
    profile = None if state_dir else _profile()
    if url:
        if not token and profile is not None and profile.url == url:
            return _known(profile, None, files)
        if not token:
            raise click.UsageError(
                "a token is needed with --url: --token, GATE_REGISTRY_TOKEN, or log in once "
                f"with `gate registry login {url}`"
            )
        return remote(url, read_token(token), files)
    if profile is not None:
        return _known(profile, token, files)
    state_dir = state_dir or _STATE_DIR
    access = state_dir / "registry" / ACCESS_FILE
    try:
        found = json.loads(access.read_text())
        return remote(found["url"], read_token(token) if token else found["token"], files)
    except FileNotFoundError:
        _no_target(f"there is no {access}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        _no_target(f"{access} can't be used: {error}")


def _profile() -> Profile | None:
    try:
        return read_profile()
    except ProfileError as error:
        raise click.UsageError(str(error)) from error


def _known(profile: Profile, token: str | None, files: TlsFiles) -> Remote:
    """Return the registry of a profile; what options say counts more."""
    return Remote(
        profile.url,
        read_token(token) if token else profile.token,
        ca=files.ca or profile.ca,
        certificate=files.certificate or profile.certificate,
        key=files.key or profile.key,
    )


def _local(places: Places, provider: str | None) -> Local:
    # Only now: the database takes half a second to load, and a remote one needs none of it.
    from gate.registry.local import Local
    from gate.registry.opening import open_registry
    from gate.registry.provider import provider_of

    settings = RegistrySettings() if provider is None else RegistrySettings(provider=provider)
    registry = open_registry(places, settings, create=False)
    if provider is None:
        with registry.database.read() as connection:
            registry.provider = provider_of(connection) or registry.provider
    return Local(registry)


def remote(url: str, token: str, files: TlsFiles) -> Remote:
    """Return the registry at a URL. Raises RemoteError for a URL or files that are no use."""
    return Remote(url, token, ca=files.ca, certificate=files.certificate, key=files.key)


def _no_target(reason: str) -> NoReturn:
    raise click.UsageError(
        "which registry? Log in with `gate registry login URL`, or give --url and --token, or "
        f"--db, or --state-dir; {reason}"
    )


def read_token(text: str) -> str:
    """Return a token that is given as itself or as @FILE. Raises click.UsageError."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text().strip()
    except OSError as error:
        raise click.UsageError(f"the token file {text[1:]} can't be read: {error}") from error


def print_json(*models: BaseModel) -> None:
    """One JSON object a line."""
    for model in models:
        click.echo(model.model_dump_json())


def china_time(seconds: int | None) -> str:
    """Return a time in China, to the minute; "" for none."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, CHINA).strftime("%Y-%m-%d %H:%M")


def print_table(table: Table) -> None:
    """A table, wide enough for a pipe."""
    from rich.console import Console  # few commands show a table

    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)
