"""The set that was given out last: what a shrunken one is held against.

It is kept beside the database and not in it, so that a database that was emptied, restored or
mistaken for another is noticed: its set is smaller, and no changes of the log explain it. Such a
set is not given out before a person has accepted it. What shrinks by operations is explained: each
change of the log closes one domain at most, and in one epoch nothing else changes the set.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gate.files import replace_file, restored
from gate.registry.log import Head

_log = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class GivenSet:
    """A set by its place in the log, and how many domains are filed in it."""

    epoch: str
    revision: int
    filed: int

    def unexplained(self, head: Head, filed: int) -> int:
        """Return how many domains fewer are filed at `head` than the log's changes explain."""
        changes = head.revision - self.revision if head.epoch == self.epoch else 0
        return max(self.filed - filed - max(changes, 0), 0)


class Given:
    """The file that remembers the set that was given out last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = self._read()

    @property
    def last(self) -> GivenSet | None:
        """Return the set that was given out last; None before the first."""
        return self._last

    def remember(self, given: GivenSet) -> None:
        """Keep a set that is given out; without room on the disk the one before stays."""
        if given == self._last:
            return
        self._last = given
        try:
            replace_file(self._path, json.dumps(asdict(given)) + "\n")
        except OSError as error:
            _log.warning("%s can't be written: %s; free some room", self._path, error.strerror)

    def _read(self) -> GivenSet | None:
        return restored(self._path, _saved, "the next set is the first")


def _saved(state: Any) -> GivenSet:
    """Return the set that `remember` has written. Raises one of MALFORMED."""
    epoch, revision, filed = state["epoch"], state["revision"], state["filed"]
    if not (isinstance(epoch, str) and isinstance(revision, int) and isinstance(filed, int)):
        raise ValueError(f"{state!r} is no set that was given out")
    return GivenSet(epoch, revision, filed)
