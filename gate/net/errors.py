"""What can go wrong in the plumbing of a server."""

from __future__ import annotations


class NetError(Exception):
    """A port, a certificate or a request can't be used; says which, why and what to do."""
