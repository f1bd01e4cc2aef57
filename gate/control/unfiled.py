"""Which blocked names are asked for, over all workers: bounded, kept across restarts.

A row is a name on one listener for one reason. When all rows are taken, those that nobody has
asked for in a long time go first, then those with the fewest requests. What went, and what a
worker had no row for, is summed up as `unlisted`: a row's count never tells too much, and all
of them together too little by exactly that. Without any unlisted, every count is exact.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from heapq import nsmallest
from itertools import chain
from pathlib import Path
from typing import Final, TextIO

from gate.control.fleet import Fleet, Link
from gate.control.lines import Message
from gate.control.pieces import list_pieces
from gate.control.tally import is_alive
from gate.control.turns import greatest_first, in_turns

log = logging.getLogger("gate.unfiled")

SAVE_SECONDS: Final = 60.0
_FORMAT: Final = 1
_RATE_SECONDS: Final = 60.0
_ROOM: Final = 10  # of so many rows, one makes room


class Sort(StrEnum):
    """What comes first in a list of rows."""

    COUNT = "count"
    RATE = "rate"
    LAST_SEEN = "last_seen"
    FIRST_SEEN = "first_seen"


@dataclass(slots=True)
class Row:
    """A blocked name. Times are Unix seconds.

    `rate` is the requests a minute lately, as it was at `last_seen`: older requests weigh less,
    by a factor of e for each minute.
    """

    name: str
    listener: str
    reason: str
    route: str
    count: int
    first_seen: float
    last_seen: float
    rate: float = 0.0

    def rate_at(self, now: float) -> float:
        """The requests a minute, as of `now`."""
        return self.rate * math.exp(-max(now - self.last_seen, 0.0) / _RATE_SECONDS)

    def has_seen(self, now: float) -> None:
        """Take back times that have not come yet: they are of a clock that was ahead."""
        self.first_seen = min(self.first_seen, now)
        self.last_seen = min(self.last_seen, now)


_KEYS: Final[dict[Sort, Callable[[Row, float], float]]] = {
    Sort.COUNT: lambda row, now: row.count,
    Sort.RATE: lambda row, now: row.rate_at(now),
    Sort.LAST_SEEN: lambda row, now: row.last_seen,
    Sort.FIRST_SEEN: lambda row, now: row.first_seen,
}


class UnfiledTable:
    """Up to `names` rows; each is forgotten after `keep_seconds` without a request."""

    def __init__(
        self, *, names: int, keep_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._names = names
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._rows: dict[tuple[str, str, str], Row] = {}
        self.unlisted = 0
        """Requests for names that have no row."""
        self.since = clock()
        """Unix time from which on all this counts."""
        self.heard: dict[tuple[int, int], int] = {}
        """Number of the last answer that was counted in, by process id and birth of the worker.

        It is kept with the rows: a worker outlives the control process, and gives the answers that
        the file does not have again to the next one.
        """

    def __len__(self) -> int:
        return len(self._rows)

    def now(self) -> float:
        """The Unix time, as rates are worked out with it."""
        return self._clock()

    def add(self, new: Row) -> None:
        """Count a row's requests in; its rate is worked out here."""
        key = _key(new)
        row = self._rows.get(key)
        now = self._clock()
        new.has_seen(now)
        if row is None:
            if len(self._rows) >= self._names:
                self._make_room()
            new.rate = float(new.count)
            self._rows[key] = new
            return
        row.has_seen(now)
        row.rate = row.rate_at(new.last_seen) + new.count
        row.count += new.count
        row.route = new.route
        row.first_seen = min(row.first_seen, new.first_seen)
        row.last_seen = max(row.last_seen, new.last_seen)

    def _make_room(self) -> None:
        oldest = self._oldest()

        def worth(row: Row) -> tuple[bool, int, float]:
            return row.last_seen >= oldest, row.count, row.last_seen

        for row in nsmallest(max(self._names // _ROOM, 1), self._rows.values(), worth):
            self._drop(row)
            if row.last_seen >= oldest:
                self.unlisted += row.count

    async def forget_old(self) -> None:
        """Drop the rows that nobody has asked for in a long time."""
        now = self._clock()
        self.since = min(self.since, now)
        oldest = self._oldest()
        async for row in in_turns(list(self._rows.values())):
            row.has_seen(now)
            if row.last_seen < oldest and self._rows.get(_key(row)) is row:
                self._drop(row)

    def _oldest(self) -> float:
        return self._clock() - self._keep_seconds

    def _drop(self, row: Row) -> None:
        del self._rows[_key(row)]

    async def rows(
        self,
        *,
        sort: Sort = Sort.COUNT,
        limit: int | None = None,
        accept: Callable[[Row], bool] = lambda row: True,
    ) -> list[Row]:
        """The first `limit` of the rows that `accept` takes, the greatest first."""
        now, key = self._clock(), _KEYS[sort]
        # The keys are of one moment: rows count on while this has its turns.
        keyed = [
            (key(row, now), row.name, row)
            async for row in in_turns(list(self._rows.values()))
            if accept(row)
        ]
        return [row for _, _, row in await greatest_first(keyed, lambda item: item[:2], limit)]

    def clear(self) -> None:
        """Forget everything, and count from now on."""
        self._rows.clear()
        self.unlisted = 0
        self.since = self._clock()

    # Across restarts

    def pieces(self, reports: Iterable[str]) -> Iterator[str]:
        """The table as it is at this call, as JSON; no row may change before the last piece.

        `reports` is JSON, too, of the same moment: what is still to be reported.
        """
        state = {
            "format": _FORMAT,
            "since": self.since,
            "unlisted": self.unlisted,
            "heard": [[*who, number] for who, number in self.heard.items()],
        }
        rows = list_pieces(list(self._rows.values()), _fields)
        return chain([json.dumps(state)[:-1], ', "rows": '], rows, [', "reports": '], reports, "}")

    async def save(self, path: Path, reports: Iterable[str] = ("null",)) -> None:
        """Write the `pieces` to a file in place of the one before, in turns. Raises OSError."""
        pieces = self.pieces(reports)
        beside = path.with_suffix(".new")
        with _open_private(beside) as file:
            async for piece in in_turns(pieces):
                file.write(piece)
        beside.replace(path)

    def restore(self, path: Path) -> object:
        """Take up what was saved, and return its `reports`, None if there are none.

        A file that cannot be read is kept aside, and told of.
        """
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s cannot be read: %s; counting anew", path, error.strerror)
            return None
        try:
            state = json.loads(text)
            rows = [Row(*fields) for fields in state["rows"]]
            heard = {(pid, born): number for pid, born, number in state.get("heard", [])}
            self.since, self.unlisted = float(state["since"]), int(state["unlisted"])
        except (ValueError, TypeError, KeyError) as error:
            aside = path.with_suffix(".bad")
            path.replace(aside)
            log.warning("%s is damaged (%s); it is kept as %s, counting anew", path, error, aside)
            return None
        for row in sorted(rows, key=lambda row: row.count)[-self._names :]:
            self._rows[_key(row)] = row
        self.heard = heard
        return state.get("reports")


def _open_private(path: Path) -> TextIO:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")


def _key(row: Row) -> tuple[str, str, str]:
    return row.name, row.listener, row.reason


def _fields(row: Row) -> list[str | int | float]:
    """The fields of a row in their order (`astuple` would copy each of them)."""
    return [
        row.name,
        row.listener,
        row.reason,
        row.route,
        row.count,
        row.first_seen,
        row.last_seen,
        row.rate,
    ]


def _of(link: Link, numbers: Mapping[tuple[int, int], int]) -> int:
    return numbers.get((link.pid, link.born), 0)


class UnfiledNames:
    """The table in the control process: fed by the workers, saved now and then.

    It is saved in turns, and is to be of one moment: what comes meanwhile counts when it is saved.
    """

    def __init__(self, table: UnfiledTable, path: Path) -> None:
        self.table = table
        self._path = path
        self._saving = asyncio.Lock()
        self._late: list[tuple[Link, Message]] = []
        self.on_row: Callable[[Row], None] = lambda row: None
        """Is given the requests that come in, a row each, for a report."""
        self.reports: Callable[[], Iterable[str]] = lambda: ("null",)
        """Gives what is still to be reported, as JSON, to be kept with the table."""
        self.kept = table.restore(path)
        """What the control process before had still to report."""
        self._kept = dict(table.heard)  # as it is on the disk

    async def collect_from(self, fleet: Fleet) -> None:
        """Ask every worker for what it has counted."""
        answers = await fleet.ask(
            "unfiled",
            fields=lambda link: {
                "confirmed": _of(link, self.table.heard),
                "kept": _of(link, self._kept),
            },
        )
        for link, answer in answers.items():
            self._take(link, answer)

    def farewell(self, link: Link, words: Message) -> None:
        """Take what a worker leaves behind that ends."""
        for answer in words["unfiled"]:
            self._take(link, answer)

    def _take(self, link: Link, answer: Message) -> None:
        if self._saving.locked():
            self._late.append((link, answer))
        else:
            self._count(link, answer)

    def _count(self, link: Link, answer: Message) -> None:
        if answer["number"] <= _of(link, self.table.heard):
            return
        self.table.heard[link.pid, link.born] = answer["number"]
        self.table.unlisted += answer["unlisted"]
        for fields in answer["rows"]:
            row = Row(*fields)
            self.on_row(row)
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
            heard = self.table.heard  # a process that has gone gives nothing again
            self.table.heard = {who: heard[who] for who in heard if is_alive(who[0])}
            try:
                await self.table.save(self._path, self.reports())
                self._kept = dict(self.table.heard)
            except OSError as error:
                log.warning("%s cannot be written: %s; free some room", self._path, error.strerror)
            finally:
                late, self._late = self._late, []
                for link, answer in late:
                    self._count(link, answer)
