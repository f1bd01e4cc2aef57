"""Tells the registry of the blocked names, now and then, from the control process."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gate.changes.errors import Cause, SyncError, Unacceptable
from gate.control.blocked.outbox import Outbox, Report
from gate.control.metrics import catalogue as metrics
from gate.control.metrics.catalogue import Metric, Sample
from gate.control.reporting import Rounds
from gate.settings import ReportSettings, Sync

_log = logging.getLogger(__name__)

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
        self._rounds = Rounds(
            sync, state_dir, what="blocked names", seconds=settings.seconds, longest=20.0
        )
        self._gate = settings.gate or self._rounds.gate
        self._outbox = outbox
        self._keep = keep
        self._plain_until = 0.0  # monotonic; till then the registry is told of no destinations
        self._kept = ""  # key of the last report that was
        self._names = Counter[str]()

    async def run(self) -> None:
        """Report until cancelled."""
        await self._rounds.run(self._report_all)

    async def _report_all(self) -> None:
        if not len(self._outbox):
            return
        async with self._rounds.source() as source:
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
                self._rounds.count("taken")
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
        yield metrics.UNFILED_REPORTS, self._rounds.samples()
        yield (
            metrics.UNFILED_REPORTED,
            [((result,), float(self._names[result])) for result in ("taken", "refused")],
        )
        yield metrics.UNFILED_WAITING, [((), float(len(self._outbox)))]
        yield metrics.UNFILED_DROPPED, [((), float(self._outbox.dropped))]
