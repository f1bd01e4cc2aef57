"""How a list is meant: what it does to domains that it brings back, and to those it leaves out."""

from __future__ import annotations

from enum import StrEnum


class ImportMode(StrEnum):
    """Each does what the one before does, and more."""

    ADD = "add"
    """New filings are taken. One that was cancelled is refused: the list may be older."""
    REVIVE = "revive"
    """A filing that was cancelled is filed again, and reported."""
    REPLACE = "replace"
    """The list is all that is filed with this provider: what it leaves out is cancelled."""

    @property
    def revives(self) -> bool:
        """Return whether what was cancelled is filed again."""
        return self is not ImportMode.ADD
