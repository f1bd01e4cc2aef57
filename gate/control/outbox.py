"""What the registry has not been told of yet: blocked names with their requests since then.

A report is kept as it is until the registry has taken it, and is sent again under the same key, so
that each request counts once. What comes meanwhile waits for the report after it.

All of it outlives the control process, in the file of the table of blocked names: so the two agree
on which answers of the workers they have counted. A new report is kept before it is sent, or the
next control process after a kill would tell of the same requests under another key.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Any, Final

from gate.control.unfiled import Row
from gate.policy import REMINDED

log = logging.getLogger("gate.unfiled")

MOST_NAMES: Final = 1_000
"""Names of one report."""


@dataclass(slots=True)
class _Waiting:
    reason: str
    count: int
    first_seen: float
    last_seen: float


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
    """Requests for names that there was no room for."""
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _report: Report | None = None
    on_report: Callable[[], None] = lambda: None
    """Called for each new report, before it can be sent: keeps `state`."""

    def __len__(self) -> int:
        """Names that the registry has not been told of."""
        return len(self._waiting) + (len(self._report.names) if self._report else 0)

    def add(self, row: Row) -> None:
        """Take a row's requests; those of no domain (an IP address, no SNI) are nobody's."""
        if row.reason not in REMINDED:
            return
        found = self._waiting.get(row.name)
        if found is None:
            if len(self._waiting) >= self.most:
                self.dropped += row.count
                return
            self._waiting[row.name] = _Waiting(row.reason, row.count, row.first_seen, row.last_seen)
            return
        if row.last_seen >= found.last_seen:
            found.reason, found.last_seen = row.reason, row.last_seen
        found.first_seen = min(found.first_seen, row.first_seen)
        found.count += row.count

    def report(self) -> Report | None:
        """What is to be told next: again, until `taken`; None for nothing."""
        if self._report is None and self._waiting:
            chosen = nlargest(MOST_NAMES, self._waiting, lambda name: self._waiting[name].count)
            names = tuple(_fields(name, self._waiting.pop(name)) for name in chosen)
            self._report = Report(secrets.token_hex(16), names)
            self.on_report()
        return self._report

    def taken(self) -> None:
        """The registry has the report."""
        self._report = None

    def state(self) -> object:
        """What the registry has not been told of, as JSON; for `restore`."""
        report = self._report
        return {
            "report": None if report is None else {"key": report.key, "names": report.names},
            "waiting": [
                [name, item.reason, item.count, item.first_seen, item.last_seen]
                for name, item in self._waiting.items()
            ],
        }

    def restore(self, state: Any) -> None:
        """Take up the state of an outbox before; one that cannot be read is told of."""
        if state is None:
            return
        try:
            found, waiting = state["report"], state["waiting"]
            report = None if found is None else Report(str(found["key"]), tuple(found["names"]))
            rows = {str(name): _Waiting(*fields) for name, *fields in waiting[: self.most]}
        except (ValueError, TypeError, KeyError) as error:
            log.warning("what was still to be reported is lost, its state is damaged: %r", error)
            return
        self._report, self._waiting = report, rows


def _fields(name: str, item: _Waiting) -> dict[str, Any]:
    return {
        "name": name,
        "reason": item.reason,
        "count": item.count,
        "first_seen": int(item.first_seen),
        "last_seen": int(item.last_seen),
    }
