"""Turns between the processes of one test run: a test that needs the machine for itself gets it.

pytest-xdist has no such thing, and a second run of pytest for those tests would give two results
for one suite. So each test runs under a lock that all processes of the run share: exclusively if it
is marked with `alone`, else together with others.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "alone"


class Turns:
    """What the processes of a run share in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._machine = (folder / "machine").open("wb")
        # Who waits for the machine holds the turnstile that everybody passes, else it might wait
        # for ever while others come and go.
        self._turnstile = (folder / "turnstile").open("wb")

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Wait for a turn, and have it within this block."""
        fcntl.flock(self._turnstile, fcntl.LOCK_EX)
        fcntl.flock(self._machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._machine, fcntl.LOCK_UN)
