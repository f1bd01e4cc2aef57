"""`gate config ...`."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli.failure import config_option, load_settings
from gate.settings.advice import advice


@click.group()
def config() -> None:
    """Check the settings."""


@config.command()
@config_option
def check(config: Path | None) -> None:
    """Check the settings file and the environment, without starting anything.

    One line for each error: where, which key, what is wrong, what to do; then exit status 2.
    Warnings are for settings that are valid and hardly meant; they leave it at 0.
    """
    settings = load_settings(config)
    for warning in advice(settings):
        click.echo(f"gate: warning: {warning}", err=True)
    click.echo(f"{config or 'defaults'}: ok")
