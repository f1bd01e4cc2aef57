"""`gate version`."""

from __future__ import annotations

import json
import platform

import click

from gate import __version__


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(as_json: bool) -> None:
    """Say which version this is."""
    python = platform.python_version()
    if as_json:
        click.echo(json.dumps({"version": __version__, "python": python}))
    else:
        click.echo(f"gate {__version__} (Python {python})")
