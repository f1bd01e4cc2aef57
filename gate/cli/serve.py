"""`gate serve`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gate.cli.failure import config_option, fail, load_settings
from gate.settings import load
from gate.supervisor import REHEARSAL, CannotStart, Program, rehearse
from gate.supervisor import serve as run


@click.command()
@config_option
@click.option(REHEARSAL, "rehearsal", is_flag=True, hidden=True)
def serve(config: Path | None, rehearsal: bool) -> None:
    """Run the gate until TERM or INT; HUP reads the settings again, USR2 upgrades in place.

    Exit status: 0 after an orderly stop, 1 when a process had to be killed in it, 2 when the
    gate could not start.
    """
    settings = load_settings(config)
    try:
        if rehearsal:  # asked for by the gate that is to be upgraded
            rehearse(settings)
            return
        status = run(settings, lambda: load(config), program=Program.present())
    except CannotStart as error:
        fail(str(error))
    sys.exit(status)
