"""What can go wrong in a command, besides what `gate.cli.failure` ends it with."""

from __future__ import annotations


class CliError(Exception):
    """A file, a list or a running gate can't be used; says which, why and what to do."""
