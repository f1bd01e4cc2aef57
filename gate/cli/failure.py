"""How a command fails: clear lines on standard error, and exit status 2."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any, NoReturn

import click

from gate.settings import ConfigError, Settings, load


class CommandFailed(click.ClickException):
    """Ends the program with exit status 2 and one `gate: ...` line for each line of the text."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the lines."""
        for line in self.message.splitlines():
            click.echo(f"gate: {line}", file=file or sys.stderr)


def fail(text: str) -> NoReturn:
    """Raises CommandFailed."""
    raise CommandFailed(text)


def in_utf8(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the callback of a parameter that is text: fails where its bytes are not UTF-8."""
    if value is not None and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            name = parameter.human_readable_name
            fail(f"{name}: {value!a} is not UTF-8; write it in a UTF-8 locale")
    return value


config_option = click.option(
    "--config",
    "-c",
    "config",
    envvar="GATE_CONFIG",
    type=click.Path(path_type=Path),
    help="Settings file; without one, every key has its default.",
)


def load_settings(config: Path | None, *, routes: bool = True) -> Settings:
    """Return the settings, or CommandFailed; without `routes` their file is not looked at."""
    try:
        return load(config, routes=routes)
    except ConfigError as error:
        raise CommandFailed(str(error)) from None
