"""What the parsers raise."""

from __future__ import annotations


class WireError(Exception):
    """Bytes from the network that are not what they should be."""
