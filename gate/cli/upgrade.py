"""`gate upgrade`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from gate.cli.failure import config_option, fail, load_settings
from gate.cli.holder import holder


@click.command()
@config_option
def upgrade(config: Path | None) -> None:
    """Have the running gate replace itself by the program that is installed now.

    Nothing is refused or cut: the new program takes over the listening sockets, open connections
    end in the old workers. The running gate tries the new program first, and its log says what
    came of it. The process id stays.

    Exit status: 0 when the gate has been told, 2 when there is none.
    """
    settings = load_settings(config)
    pid = holder(settings.lock_path)
    if pid is None:
        fail(f"no gate runs in state_dir {settings.state_dir}; start one with `gate serve`")
    try:
        os.kill(pid, signal.SIGUSR2)
    except PermissionError:
        fail(f"process {pid} belongs to another user; run this command as that user or as root")
    click.echo(f"told the gate that runs as process {pid}; its log says what comes of it")
