"""`gate upgrade`."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

import click

from gate.cli.failure import config_option, fail, load_settings


@click.command()
@config_option
def upgrade(config: Path | None) -> None:
    """Have the running gate replace itself by the program that is installed now.

    Nothing is refused or cut: the new program takes over the listening sockets, open connections
    end in the old workers. The running gate tries the new program first, and its log says what
    came of it. The process id stays.

    Exit status: 0 when the gate has been told, 2 when there is none.
    """
    folder = load_settings(config).state_dir
    pid = _running(folder / "gate.pid")
    if pid is None:
        fail(f"no gate runs in state_dir {folder}; start one with `gate serve`")
    try:
        os.kill(pid, signal.SIGUSR2)
    except PermissionError:
        fail(f"process {pid} belongs to another user; run this command as that user or as root")
    click.echo(f"told the gate that runs as process {pid}; its log says what comes of it")


def _running(path: Path) -> int | None:
    """The process that holds the lock on `path`; None where nobody does."""
    try:
        with path.open("r+", encoding="ascii") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                return int(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}")
    return None
