"""What can go wrong between the gate's processes."""

from __future__ import annotations


class IpcError(Exception):
    """Another process of the gate can't be asked, or was not understood; says why."""
