"""What the registry has not been told of yet: blocked names with their requests since then.

A report is kept as it is until the registry has taken it, and is sent again under the same key, so
that each request counts once. What comes meanwhile waits for the report after it. One that the
registry refuses for good makes way: it would hold up all that come after it.

All of it outlives the control process, in the file of the table of blocked names: so the two agree
on which answers of the workers they have counted. Keep a new report there before it is sent, or the
next control process after a kill would tell of the same requests under another key.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from itertools import chain
from typing import Any, Final

from gate.control.blocked.pieces import list_pieces
from gate.control.blocked.table import BlockedName
from gate.files import MALFORMED
from gate.policy import REMINDED

_log = logging.getLogger(__name__)

MOST_NAMES: Final = 1_000
"""Names of one report."""
MOST_REQUESTS: Final = 10**9
"""Requests of one name in one report: the registry takes no more."""
MOST_DESTINATIONS: Final = 8
"""Addresses that are told of one name: those that it was asked for at most often."""


@dataclass(slots=True, frozen=True)
class _Waiting:
    name: str
    reason: str
    count: int
    first_seen: float
    last_seen: float
    destinations: Mapping[str, int] = field(default_factory=dict)
    """Requests by the address and port that they were for, where that is told."""

    def as_of(self, now: float) -> _Waiting:
        """Without times that have not come yet: they are of a clock that was ahead.

        The registry would refuse them.
        """
        if self.last_seen <= now:
            return self
        return replace(self, first_seen=min(self.first_seen, now), last_seen=now)

    def __add__(self, other: _Waiting) -> _Waiting:
        return _Waiting(
            self.name,
            (other if other.last_seen >= self.last_seen else self).reason,
            self.count + other.count,
            min(self.first_seen, other.first_seen),
            max(self.last_seen, other.last_seen),
            _most_asked(Counter(self.destinations) + Counter(other.destinations)),
        )


@dataclass(slots=True, frozen=True)
class Report:
    """Some names, the key that tells this report from any other, and its requests."""

    key: str
    names: tuple[Mapping[str, Any], ...]


@dataclass(slots=True)
class Outbox:
    """Up to `most` names; for more, requests are not reported, and counted."""

    most: int
    dropped: int = 0
    """Requests that nobody is told of: no room for the name, or the registry refused the report."""
    names: int = MOST_NAMES
    """Names of the next report; fewer once the registry has found one too large."""
    clock: Callable[[], float] = time.time
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _report: Report | None = None

    def __len__(self) -> int:
        """Return how many names the registry has not been told of."""
        return len(self._waiting) + (len(self._report.names) if self._report else 0)

    def add(self, row: BlockedName) -> None:
        """Take a row's requests; those of no domain (an IP address, no SNI) are nobody's."""
        if row.reason not in REMINDED:
            return
        if row.name not in self._waiting and len(self._waiting) >= self.most:
            self.dropped += row.count
            return
        # A row is of a second or so, and tells the last destination of those that it counts.
        # With the port 0, which a PROXY header may have, it is nowhere, and the registry says so.
        told = row.destination and not row.destination.endswith(":0")
        destinations = {row.destination: row.count} if told else {}
        seen = row.first_seen, row.last_seen
        self._wait(_Waiting(row.name, row.reason, row.count, *seen, destinations))

    def _wait(self, new: _Waiting) -> None:
        found = self._waiting.get(new.name)
        self._waiting[new.name] = new if found is None else found.as_of(self.clock()) + new

    def report(self) -> Report | None:
        """Return what is to be told next: again, until `taken`, `split` or `refused`.

        None for nothing.
        """
        if self._report is None and self._waiting:
            chosen = nlargest(self.names, self._waiting, lambda name: self._waiting[name].count)
            names = tuple(self._fields(name) for name in chosen)
            self._report = Report(secrets.token_hex(16), names)
        return self._report

    def _fields(self, name: str) -> dict[str, Any]:
        """Return a name's requests as a report has them; beyond `MOST_REQUESTS` they wait on."""
        item = self._waiting.pop(name).as_of(self.clock())
        count = min(item.count, MOST_REQUESTS)
        if item.count > count:
            self._waiting[name] = replace(item, count=item.count - count, destinations={})
        fields: dict[str, Any] = {
            "name": name,
            "reason": item.reason,
            "count": count,
            "first_seen": int(item.first_seen),
            "last_seen": int(item.last_seen),
        }
        if item.destinations:
            fields["destinations"] = [
                {"address": address, "count": min(of_it, count)}
                for address, of_it in item.destinations.items()
            ]
        return fields

    def taken(self) -> None:
        """The registry has the report."""
        self._report = None

    def split(self) -> bool:
        """Return the registry finds the report too large: its names wait for ones of half the size.

        False for a report of one name, which stays.
        """
        report = self._report
        if report is None or len(report.names) < 2:
            return False
        self._report, self.names = None, len(report.names) // 2
        for item in report.names:
            self._wait(_of_report(item))
        return True

    def refused(self) -> int:
        """Drop the report, which the registry will never take; return its requests."""
        names = () if self._report is None else self._report.names
        count: int = sum(item["count"] for item in names)
        self._report = None
        self.dropped += count
        return count

    def pieces(self) -> Iterator[str]:
        """Return what the registry has not been told of at this call, as JSON; for `restore`."""
        report = self._report
        told = json.dumps(None if report is None else {"key": report.key, "names": report.names})
        waiting = list_pieces(list(self._waiting.values()), _row)
        return chain([f'{{"report": {told}, "waiting": '], waiting, "}")

    def restore(self, state: Any) -> None:
        """Take up the state of an outbox before; one that cannot be read is told of."""
        if state is None:
            return
        try:
            found, waiting = state["report"], state["waiting"]
            report = None if found is None else Report(str(found["key"]), _told(found["names"]))
            rows = {item.name: item for item in (_waiting(*row) for row in waiting[: self.most])}
        except MALFORMED as error:
            _log.warning("what was still to be reported is lost, its state is damaged: %r", error)
            return
        self._report, self._waiting = report, rows


def _told(names: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the names of a report. Raises one of MALFORMED for what is none."""
    for item in names:
        _of_report(item)
    return tuple(names)


def _of_report(item: Mapping[str, Any]) -> _Waiting:
    """Return a name of a report as one that waits. Raises one of MALFORMED for what is none."""
    told = item.get("destinations", ())
    return _waiting(**{**item, "destinations": [(each["address"], each["count"]) for each in told]})


def _most_asked(destinations: Mapping[str, int]) -> dict[str, int]:
    chosen = nlargest(MOST_DESTINATIONS, destinations, lambda address: destinations[address])
    return {address: destinations[address] for address in chosen}


def _waiting(
    name: str,
    reason: str,
    count: int,
    first_seen: float,
    last_seen: float,
    destinations: Iterable[Sequence[Any]] = (),
) -> _Waiting:
    """Return a name that waits. Raises ValueError for fields of other kinds."""
    asked = {str(address): int(of_it) for address, of_it in destinations}
    numbers = (count, first_seen, last_seen)
    if not (isinstance(name, str) and isinstance(reason, str)):
        raise ValueError(f"{name!r} and {reason!r} are not texts")
    if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
        raise ValueError(f"{numbers} are not numbers")
    return _Waiting(name, reason, int(count), first_seen, last_seen, _most_asked(asked))


def _row(item: _Waiting) -> list[Any]:
    row = [item.name, item.reason, item.count, item.first_seen, item.last_seen]
    return [*row, list(item.destinations.items())] if item.destinations else row
