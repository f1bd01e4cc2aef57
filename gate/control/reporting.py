"""Rounds of reports to the registry that the gate follows: when, to whom, with what result."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gate.changes.errors import SyncError, Unacceptable
from gate.changes.files import PUBLIC
from gate.control.metrics.catalogue import Sample
from gate.net.backoff import Backoff
from gate.settings import Sync

if TYPE_CHECKING:
    from gate.sync.source import Source

_log = logging.getLogger(__name__)

_RESULTS: Final = ("taken", "failed", "refused")


class Rounds:
    """When one kind of report goes out, to whom, and what has become of it."""

    def __init__(
        self, sync: Sync, state_dir: Path, *, what: str, seconds: float, longest: float
    ) -> None:
        """`what` (a plural) is reported every `seconds`; in trouble at most `longest` apart."""
        self._sync = sync
        self._keys = sync.keys or state_dir / "keys" / PUBLIC
        self._what = what
        self._seconds = seconds
        self._longest = max(seconds, longest)
        self._results = Counter[str]()

    @property
    def gate(self) -> str:
        """What this gate is called, unless a report's own settings say otherwise."""
        return self._sync.gate or socket.gethostname()[:64]

    def source(self) -> Source:
        """Return the registry, to be entered."""
        from gate.changes.verifier import Verifier  # takes long to load, as the sync does
        from gate.sync.source import Source

        return Source(
            self._sync.registry,
            Verifier(self._keys),
            token_file=self._sync.token_file,
            tls=self._sync.tls,
        )

    async def run(self, report_all: Callable[[], Awaitable[None]]) -> None:
        """Report until cancelled; a registry that is away is asked again, ever more seldom."""
        backoff = Backoff(first=self._seconds / 10, longest=self._longest)
        troubled = False
        while True:
            await asyncio.sleep(backoff.wait() if troubled else self._seconds)
            try:
                await report_all()
            except Unacceptable:
                # The next one waits for its turn: what all are refused for may be mended by then.
                self.count("refused")
                troubled = True
            except SyncError as error:
                self.count("failed")
                if not troubled:
                    _log.warning("%s are not reported, and wait: %s", self._what, error)
                troubled = True
            except Exception:
                # What nobody reports any more would be missed by nobody.
                self.count("failed")
                _log.exception("%s are not reported, and wait: unexpected fault", self._what)
                troubled = True
            else:
                if troubled:
                    _log.info("%s are reported again", self._what)
                troubled = False
                backoff.reset()

    def count(self, result: str) -> None:
        """Count what has become of a report."""
        self._results[result] += 1

    def samples(self) -> list[Sample]:
        """Return how many reports had each result."""
        return [((result,), float(self._results[result])) for result in _RESULTS]
