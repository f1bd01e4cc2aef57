"""What can go wrong in the control process."""

from __future__ import annotations


class ControlError(Exception):
    """Something that was asked of the control process can't be done; says why and what to do."""


class CannotServe(ControlError):
    """A listener of the control process cannot be served."""
