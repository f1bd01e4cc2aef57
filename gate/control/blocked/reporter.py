"""Tells the registry of the blocked names, now and then, from the control process."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gate.changes.errors import Cause, SyncError, Unacceptable
from gate.changes.files import PUBLIC
from gate.control.blocked.outbox import Outbox, Report
from gate.control.metrics import catalogue as metrics
from gate.control.metrics.catalogue import Metric, Sample
from gate.net.backoff import Backoff
from gate.settings import ReportSettings, Sync

_log = logging.getLogger(__name__)

_RESULTS: Final = ("taken", "failed", "refused")
_DESTINATIONS: Final = "destinations"
_OLD_SECONDS: Final = 3600.0
"""A registry of an older program knows no destinations; after this time it is tried again."""
_ARRIVED: Final = {Cause.MALFORMED, Cause.OVERSIZE}  # of an answer: the report was taken


class Reporter:
    """Empties an outbox into the registry that the gate follows."""

    def __init__(
        self,
        settings: ReportSettings,
        sync: Sync,
        state_dir: Path,
        outbox: Outbox,
        keep: Callable[[], Awaitable[None]],
    ) -> None:
        """`keep` writes the outbox to the disk."""
        self._seconds = settings.seconds
        self._gate = settings.gate or sync.gate or socket.gethostname()[:64]
        self._sync = sync
        self._keys = sync.keys or state_dir / "keys" / PUBLIC
        self._outbox = outbox
        self._keep = keep
        self._plain_until = 0.0  # monotonic; till then the registry is told of no destinations
        self._kept = ""  # key of the last report that was
        self._reports = Counter[str]()
        self._names = Counter[str]()

    async def run(self) -> None:
        """Report until cancelled; a registry that is away is asked again, ever more seldom."""
        backoff = Backoff(first=self._seconds / 10, longest=max(self._seconds, 20.0))
        troubled = False
        while True:
            await asyncio.sleep(backoff.wait() if troubled else self._seconds)
            try:
                await self._report_all()
            except Unacceptable:
                # The next one waits for its turn: what all are refused for may be mended by then.
                self._reports["refused"] += 1
                troubled = True
            except SyncError as error:
                self._reports["failed"] += 1
                if not troubled:
                    _log.warning("blocked names are not reported, and wait: %s", error)
                troubled = True
            except Exception:
                # Names that nobody reports any more would be missed by nobody.
                self._reports["failed"] += 1
                _log.exception("blocked names are not reported, and wait: unexpected fault")
                troubled = True
            else:
                if troubled:
                    _log.info("blocked names are reported again")
                troubled = False
                backoff.reset()

    async def _report_all(self) -> None:
        if not len(self._outbox):
            return
        from gate.changes.verifier import Verifier  # takes long to load, as the sync does
        from gate.sync.source import Source

        source = Source(
            self._sync.registry,
            Verifier(self._keys),
            token_file=self._sync.token_file,
            tls=self._sync.tls,
        )
        async with source:
            while (report := self._outbox.report()) is not None:
                if report.key != self._kept:
                    await self._keep()
                    self._kept = report.key
                body = {"gate": self._gate, "names": self._names_for_registry(report)}
                try:
                    taken, refused = await source.report_unfiled(body, report.key)
                except Unacceptable as error:
                    if self._knows_no_destinations(error):
                        continue
                    if error.too_large and self._outbox.split():
                        _log.warning(
                            "too many blocked names in a report, from now on up to %d: %s",
                            self._outbox.names,
                            error,
                        )
                        continue
                    requests = self._outbox.refused()
                    _log.error(
                        "a report of %d blocked names with %d requests is dropped: %s",
                        len(report.names),
                        requests,
                        error,
                    )
                    raise
                except SyncError as error:
                    if error.cause in _ARRIVED:  # its counts must not arrive twice
                        self._outbox.taken()
                    raise
                self._outbox.taken()
                self._reports["taken"] += 1
                self._names["taken"] += taken
                self._names["refused"] += refused

    def _names_for_registry(self, report: Report) -> Sequence[Mapping[str, Any]]:
        if time.monotonic() >= self._plain_until:
            return report.names
        return [
            {key: value for key, value in item.items() if key != _DESTINATIONS}
            for item in report.names
        ]

    def _knows_no_destinations(self, error: Unacceptable) -> bool:
        """Return whether the report is to be told again without its destinations."""
        is_told = time.monotonic() >= self._plain_until
        if not is_told or error.field.rpartition(".")[2] != _DESTINATIONS:
            return False
        self._plain_until = time.monotonic() + _OLD_SECONDS
        _log.info("the registry is of an older program: it is told of no destinations")
        return True

    def samples(self) -> Iterator[tuple[Metric, list[Sample]]]:
        """Yield the reports' figures for /metrics."""
        yield (
            metrics.UNFILED_REPORTS,
            [((result,), float(self._reports[result])) for result in _RESULTS],
        )
        yield (
            metrics.UNFILED_REPORTED,
            [((result,), float(self._names[result])) for result in ("taken", "refused")],
        )
        yield metrics.UNFILED_WAITING, [((), float(len(self._outbox)))]
        yield metrics.UNFILED_DROPPED, [((), float(self._outbox.dropped))]
