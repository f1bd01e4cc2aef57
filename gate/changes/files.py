"""Names of files that a registry and its gates know."""

from __future__ import annotations

from typing import Final

PUBLIC: Final = "public.json"
"""In a key folder: the set of public keys, which gates trust."""
