"""Where a registry keeps things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gate.settings import RegistrySettings

ACCESS_FILE: Final = "access.json"
"""In the working folder: URL and token of the embedded registry of `gate serve`."""


@dataclass(slots=True, frozen=True)
class Places:
    """Where a registry keeps things: its database (path or URL), its keys, its working folder."""

    database: str
    keys_dir: Path
    folder: Path

    @classmethod
    def of(cls, settings: RegistrySettings, state_dir: Path) -> Places:
        """Return the places that the settings name, or the usual ones in the state folder."""
        return cls(
            database=settings.database or str(state_dir / "registry.db"),
            keys_dir=settings.keys_dir or state_dir / "keys",
            folder=state_dir / "registry",
        )
