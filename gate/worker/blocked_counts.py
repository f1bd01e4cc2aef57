"""Blocked names that a worker has yet to tell the control process of: bounded, and confirmed.

The control process asks every second and says with each question which answer it has had; until
then that answer is given again, so that a reply which is late or lost costs no count and none
counts twice. It says, too, which answer is on its disk already: those after it are held here, up to
some thousand rows, for the control process that comes after one that was killed.

A flood of random names must neither fill the worker's memory nor push out the names that matter.
So once there are more than a few rows a name needs to be asked for twice to get one (remembered
in a fixed table of one-byte tags), and what gets none is summed up as `unlisted`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from gate.policy import REASONS, Verdict

ROWS_IN_ANSWER: Final = 512
"""So that making an answer stays below a millisecond."""
ROWS_HELD: Final = 4096
"""Of answers that the control process has had and not yet kept; of more, the oldest go."""

_FREELY: Final = 1024
_MOST: Final = 4096
_TAGS: Final = 1 << 16
_TAG_MASK: Final = _TAGS - 1

_NOWHERE: Final[Mapping[Verdict, str]] = {}

Key = tuple[str, str, int]
"""Name, listener, code of the reason."""

Answer = dict[str, Any]
"""`number`, `unlisted`, and `rows` of name, listener, reason, route, count, first and last seen,
a zero (the control process works out the rate), and the destination that it was last asked of."""


@dataclass(slots=True)
class _AskedFor:
    count: int
    first: float
    last: float
    destination: str = ""


class BlockedCounts:
    """The rows of one worker; `route_of` gives the upstream route of a name."""

    def __init__(self, route_of: Callable[[str], str]) -> None:
        self._route_of = route_of
        self._rows: dict[Key, _AskedFor] = {}
        self._tags = bytearray(_TAGS)
        self._unlisted = 0
        self._given = deque[Answer]()  # and not kept yet, the oldest first
        self._held = 0  # rows of those
        self._number = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        listener: str,
        counts: Mapping[Verdict, int],
        now: float,
        destinations: Mapping[Verdict, str] = _NOWHERE,
    ) -> int:
        """Count decisions of a listener, at the Unix time `now`; returns how many they are.

        `destinations` says where each was asked for last, where that is told.

        One loop without calls: under a flood of random names it runs for each of them.
        """
        rows, tags = self._rows, self._tags
        total = unlisted = 0
        for verdict, count in counts.items():
            total += count
            name = verdict.name
            if not name:
                continue
            key = name, listener, verdict.code
            asked = rows.get(key)
            if asked is not None:
                asked.count += count
                asked.last = now
                if now < asked.first:  # the clock went back
                    asked.first = now
                if destinations:
                    asked.destination = destinations.get(verdict, asked.destination)
                continue
            size = len(rows)
            if size >= _FREELY:
                # Asked for before? A tag is wrong once in 256 times, which does no harm.
                mixed = hash(name)
                slot = mixed & _TAG_MASK
                tag = mixed >> 16 & 0xFF
                if size >= _MOST or (count == 1 and tags[slot] != tag):
                    tags[slot] = tag
                    unlisted += count
                    continue
            rows[key] = _AskedFor(count, now, now, destinations.get(verdict, ""))
        self._unlisted += unlisted
        return total

    def take(self, confirmed: int, kept: int) -> Answer:
        """The answer after the one of the number `confirmed`; `kept` and those before can go.

        With nothing to tell it has the number of the one before.
        """
        while self._given and self._given[0]["number"] <= kept:
            self._let_go()
        for answer in self._given:
            if answer["number"] > confirmed:
                return answer
        answer = self._next(ROWS_IN_ANSWER)
        if answer["rows"] or answer["unlisted"]:
            self._given.append(answer)
            self._held += _weight(answer)
        while self._held > ROWS_HELD:
            self._let_go()
        return answer

    def _let_go(self) -> None:
        self._held -= _weight(self._given.popleft())

    def rest(self) -> list[Answer]:
        """Return all that is not kept, for a worker that ends."""
        return [*self._given, self._next(len(self._rows))]

    def _next(self, most: int) -> Answer:
        """Return the oldest rows, which leave the table."""
        keys = list(islice(self._rows, most))
        rows = [self._row(key) for key in keys]
        for key in keys:
            del self._rows[key]
        if rows or self._unlisted:
            self._number += 1
        answer = {"number": self._number, "unlisted": self._unlisted, "rows": rows}
        self._unlisted = 0
        return answer

    def _row(self, key: Key) -> list[Any]:
        name, listener, code = key
        asked = self._rows[key]
        route = self._route_of(name)
        reason = REASONS[code].value
        row = [name, listener, reason, route, asked.count, asked.first, asked.last]
        return [*row, 0.0, asked.destination] if asked.destination else row


def _weight(answer: Answer) -> int:
    return len(answer["rows"]) + 1  # one that has unlisted alone takes room, too
