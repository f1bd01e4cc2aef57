"""What can go wrong in the supervisor."""

from __future__ import annotations


class SupervisorError(Exception):
    """The supervisor can't do what it was to do."""


class CannotStart(SupervisorError):
    """The gate cannot start; the message is one clear line for the operator."""
