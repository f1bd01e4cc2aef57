"""A person's word before something that takes sites offline."""

from __future__ import annotations

import sys

import click

from gate.cli.failure import CommandFailed


class WaitsForWord(CommandFailed):
    """Too much would close for a program to decide; nothing was changed."""

    exit_code = 3


def may_go_on(what: str) -> bool:
    """Return whether a person at the terminal lets the command go on, having read `what`.

    Where nobody is there to ask, the answer is no: a program says --yes.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(f"{what}. Go on?", default=False, err=True)
