"""The table of blocked names in the control process: fed by the workers, saved now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gate.control.blocked.outbox import Outbox
from gate.control.blocked.table import BlockedName, BlockedTable
from gate.control.metrics import catalogue as metrics
from gate.control.metrics.catalogue import Metric, Sample
from gate.control.traffic import Traffic
from gate.control.workers import Link, Workers
from gate.ipc.messages import Message

_log = logging.getLogger(__name__)

SAVE_SECONDS: Final = 60.0


def _of(link: Link, numbers: Mapping[tuple[int, int], int]) -> int:
    return numbers.get((link.pid, link.born), 0)


class BlockedNames:
    """The table in the control process: fed by the workers, saved now and then.

    It is saved in turns, and is to be of one moment: what comes meanwhile counts when it is saved.
    """

    def __init__(
        self,
        table: BlockedTable,
        path: Path,
        outbox: Outbox | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        """`path` has what the control process before has kept; `outbox` is given the rows, too.

        `traffic` is what workers are asked for with the same question.
        """
        self._traffic = traffic
        self.table = table
        self._path = path
        self._outbox = outbox
        self._saving = asyncio.Lock()
        self._late: list[tuple[Link, Message]] = []
        waiting = table.restore(path)
        if outbox is not None:
            outbox.restore(waiting)
        self._kept = dict(table.heard)  # as it is on the disk

    def samples(self) -> list[tuple[Metric, list[Sample]]]:
        """Return the table's figures for /metrics."""
        return [(metrics.UNFILED_NAMES, [((), float(len(self.table)))])]

    async def collect_from(self, workers: Workers) -> None:
        """Ask every worker for what it has counted."""
        answers = await workers.ask(
            "unfiled",
            fields=lambda link: (
                {
                    "confirmed": _of(link, self.table.heard),
                    "kept": _of(link, self._kept),
                }
                | ({} if self._traffic is None else {"traffic": self._traffic.question(link)})
            ),
        )
        for link, answer in answers.items():
            self._take(link, answer)
            # A worker of an older program tells nothing of it.
            if self._traffic is not None and "traffic" in answer:
                self._traffic.take(link, answer["traffic"])

    def farewell(self, link: Link, words: Message) -> None:
        """Take what a worker leaves behind that ends."""
        for answer in words["unfiled"]:
            self._take(link, answer)
        if self._traffic is not None:
            for answer in words.get("traffic", ()):
                self._traffic.take(link, answer)

    def _take(self, link: Link, answer: Message) -> None:
        if self._saving.locked():
            self._late.append((link, answer))
        else:
            self._count(link, answer)

    def _count(self, link: Link, answer: Message) -> None:
        if not self.table.hear((link.pid, link.born), answer["number"], answer["unlisted"]):
            return
        for fields in answer["rows"]:
            row = BlockedName(*fields)
            if self._outbox is not None:
                self._outbox.add(row)
            self.table.add(row)

    async def save_in_time(self) -> None:
        """Save every minute until cancelled."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.table.forget_old()
            await self.save()

    async def save(self) -> None:
        """Keep the table for the next start; what is lost without is told in the log."""
        async with self._saving:
            self.table.forget_gone()
            try:
                reports = ("null",) if self._outbox is None else self._outbox.pieces()
                await self.table.save(self._path, reports)
                self._kept = dict(self.table.heard)
            except OSError as error:
                _log.warning("%s cannot be written: %s; free some room", self._path, error.strerror)
            finally:
                late, self._late = self._late, []
                for link, answer in late:
                    self._count(link, answer)
