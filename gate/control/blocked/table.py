"""Which blocked names are asked for, over all workers: bounded, kept across restarts.

A row is a name on one listener for one reason. When all rows are taken, those that nobody has
asked for in a long time go first, then those with the fewest requests. What went, and what a
worker had no row for, is summed up as `unlisted`: a row's count never tells too much, and all
of them together too little by exactly that. Without any unlisted, every count is exact.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from heapq import nsmallest
from itertools import chain
from pathlib import Path
from typing import Any, Final

from gate.control.blocked.pieces import list_pieces
from gate.control.blocked.turns import greatest_first, in_turns
from gate.files import draft, restored
from gate.ipc.alive import is_alive

_FORMAT: Final = 1
_RATE_SECONDS: Final = 60.0
_ROOM: Final = 10  # of so many rows, one makes room


class BlockedSort(StrEnum):
    """What comes first in a list of rows."""

    COUNT = "count"
    RATE = "rate"
    LAST_SEEN = "last_seen"
    FIRST_SEEN = "first_seen"


@dataclass(slots=True)
class BlockedName:
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
    destination: str = ""
    """Where it was asked for last, if that is told: the address of who hosts it."""

    def rate_at(self, now: float) -> float:
        """Return the requests a minute, as of `now`."""
        return self.rate * math.exp(-max(now - self.last_seen, 0.0) / _RATE_SECONDS)

    def has_seen(self, now: float) -> None:
        """Take back times that have not come yet: they are of a clock that was ahead."""
        self.first_seen = min(self.first_seen, now)
        self.last_seen = min(self.last_seen, now)


_KEYS: Final[dict[BlockedSort, Callable[[BlockedName, float], float]]] = {
    BlockedSort.COUNT: lambda row, now: row.count,
    BlockedSort.RATE: lambda row, now: row.rate_at(now),
    BlockedSort.LAST_SEEN: lambda row, now: row.last_seen,
    BlockedSort.FIRST_SEEN: lambda row, now: row.first_seen,
}


class BlockedTable:
    """Up to `names` rows; each is forgotten after `keep_seconds` without a request."""

    def __init__(
        self, *, names: int, keep_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._names = names
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._rows: dict[tuple[str, str, str], BlockedName] = {}
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
        """Return the Unix time, as rates are worked out with it."""
        return self._clock()

    def add(self, new: BlockedName) -> None:
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
        row.destination = new.destination or row.destination
        row.first_seen = min(row.first_seen, new.first_seen)
        row.last_seen = max(row.last_seen, new.last_seen)

    def hear(self, who: tuple[int, int], number: int, unlisted: int) -> bool:
        """Note a worker's answer, unless it was counted in before: then return False."""
        if number <= self.heard.get(who, 0):
            return False
        self.heard[who] = number
        self.unlisted += unlisted
        return True

    def forget_gone(self) -> None:
        """Forget the workers that have ended: they give nothing again."""
        self.heard = {who: number for who, number in self.heard.items() if is_alive(who[0])}

    def _make_room(self) -> None:
        oldest = self._oldest()

        def worth(row: BlockedName) -> tuple[bool, int, float]:
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

    def _drop(self, row: BlockedName) -> None:
        del self._rows[_key(row)]

    async def rows(
        self,
        *,
        sort: BlockedSort = BlockedSort.COUNT,
        limit: int | None = None,
        accept: Callable[[BlockedName], bool] = lambda row: True,
    ) -> list[BlockedName]:
        """Return the first `limit` of the rows that `accept` takes, the greatest first."""
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
        """Return the table as it is at this call, as JSON; no row may change before the last piece.

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
        with draft(path.parent, f".{path.name}.") as new:
            async for piece in in_turns(pieces):
                new.file.write(piece.encode())
            await asyncio.to_thread(new.sync)
            new.put(path)

    def restore(self, path: Path) -> object:
        """Take up what was saved, and return its `reports`, None if there are none.

        A file that cannot be read is kept aside, and told of.
        """
        found = restored(path, _saved, "counting anew")
        if found is None:
            return None
        rows, self.heard, self.since, self.unlisted, reports = found
        for row in sorted(rows, key=lambda row: row.count)[-self._names :]:
            self._rows[_key(row)] = row
        return reports


def _saved(state: Any) -> tuple[list[BlockedName], dict[tuple[int, int], int], float, int, object]:
    """Return what `pieces` has written: rows, journals heard, since, unlisted and reports."""
    rows = [_row(*fields) for fields in state["rows"]]
    heard = {(int(pid), int(born)): int(number) for pid, born, number in state.get("heard", [])}
    return rows, heard, float(state["since"]), int(state["unlisted"]), state.get("reports")


def _row(
    name: str,
    listener: str,
    reason: str,
    route: str,
    count: int,
    first_seen: float,
    last_seen: float,
    rate: float = 0.0,
    destination: str = "",
) -> BlockedName:
    """Return the row of fields as `_fields` gives them. Raises ValueError for any others."""
    texts = (name, listener, reason, route, destination)
    numbers = (count, first_seen, last_seen, rate)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{texts} are not texts")
    if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
        raise ValueError(f"{numbers} are not numbers")
    return BlockedName(*texts[:4], int(count), first_seen, last_seen, rate, destination)


def _key(row: BlockedName) -> tuple[str, str, str]:
    return row.name, row.listener, row.reason


def _fields(row: BlockedName) -> list[str | int | float]:
    """Return the fields of a row in their order (`astuple` would copy each of them)."""
    return [
        row.name,
        row.listener,
        row.reason,
        row.route,
        row.count,
        row.first_seen,
        row.last_seen,
        row.rate,
        row.destination,
    ]
