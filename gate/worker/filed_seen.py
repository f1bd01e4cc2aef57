"""Filed domains that a worker was asked for, by the day: names alone, nothing of who asked.

The hot path pays nothing: a name is noted where its verdict is not in the cache yet, and the cache
is emptied when a day begins, so that every name which is asked for on a day is judged at least
once on it. The control process says which day it is, and collects, with an answer that is given
again until it is confirmed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, Protocol

from gate.policy import Reason

MOST_NAMES: Final = 200_000
"""Names that wait for the control process; what is beyond makes the day's list incomplete."""
NAMES_IN_ANSWER: Final = 1_000

Answer = dict[str, Any]
"""`number`, `day`, `names`, and whether names of that day were `lost`."""


class _Judged(Protocol):
    @property
    def reason(self) -> Reason: ...
    @property
    def domain(self) -> str: ...


class FiledSeen:
    """The names of one worker; `begin_day` has every name be judged again."""

    def __init__(self, begin_day: Callable[[], None]) -> None:
        self._begin_day = begin_day
        self._names: dict[str, None] = {}
        self._day: int | None = None
        self._lost = False
        self._past = deque[tuple[int, dict[str, None], bool]]()
        self._given: Answer | None = None
        self._number = 0

    def add(self, verdict: _Judged) -> None:
        """Note the domain of a verdict that was just made, and lets pass."""
        if verdict.reason is not Reason.FILED:
            return
        if len(self._names) < MOST_NAMES:
            self._names[verdict.domain] = None
        else:
            self._lost = True

    def take(self, day: int, confirmed: int) -> Answer:
        """Return the answer after the one of the number `confirmed`; `day` is the day of now.

        With nothing to tell it has the number of the one before.
        """
        if self._day is None:
            self._day = day
        elif day != self._day:
            self._past.append((self._day, self._names, self._lost))
            self._names, self._lost, self._day = {}, False, day
            self._begin_day()
        if self._given is None or self._given["number"] <= confirmed:
            self._given = self._next()
        return self._given

    def rest(self) -> list[Answer]:
        """Return all that is not confirmed, for a worker that ends."""
        found = [] if self._given is None else [self._given]
        while (answer := self._next())["names"] or answer["lost"]:
            found.append(answer)
        return found

    def _next(self) -> Answer:
        if self._past:
            day, names, lost = self._past[0]
        else:
            day, names, lost = self._day or 0, self._names, self._lost
        some = list(islice(names, NAMES_IN_ANSWER))
        for name in some:
            del names[name]
        if some or lost:
            self._number += 1
        if self._past and not names:
            self._past.popleft()
        elif self._past:
            self._past[0] = (day, names, False)
        else:
            self._lost = False
        return {"number": self._number, "day": day, "names": some, "lost": lost}
