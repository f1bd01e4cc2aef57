"""Which filed domains had traffic: collected from the workers, told to the registry by the day.

Names alone, and each a few times a day at most. What can't be told makes its day incomplete, which
the registry is told as well: it calls no filing idle by days that it does not know all of.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from gate.changes.errors import Unacceptable
from gate.control.metrics import catalogue as metrics
from gate.control.metrics.catalogue import Metric, Sample
from gate.control.reporting import Rounds
from gate.control.workers import Link
from gate.files import replace_file, restored
from gate.ipc.messages import Message
from gate.settings import Sync, TrafficReportSettings

_log = logging.getLogger(__name__)

DOMAINS_IN_REPORT: Final = 5_000
_KEPT_DAYS: Final = 7
"""Days that the registry takes reports of."""
_CHINA: Final = timedelta(hours=8)


@dataclass(slots=True, frozen=True)
class DayReport:
    """Some domains that had traffic on a day, in China; `lost` if names of that day are missing."""

    day: date
    domains: tuple[str, ...]
    lost: bool


class Traffic:
    """What the registry has not been told of yet: up to `most` names."""

    def __init__(self, path: Path, *, most: int, clock: Callable[[], float] = time.time) -> None:
        """`path` has what the control process before has left; or, if it was killed, since when
        names may be lost with it.
        """
        self._path = path
        self._most = most
        self._clock = clock
        self._heard: dict[tuple[int, int], int] = {}
        self._waiting: dict[int, dict[str, None]] = {}
        self._lost: set[int] = set()
        self._told = 0  # the newest day that the registry has heard of
        self._report: DayReport | None = None
        self._restore()
        # The first day of which there may be names in memory alone.
        self._since = min(self._waiting, default=self._today())
        self._write({"since": self._since})

    def __len__(self) -> int:
        """Names that wait."""
        waiting = sum(map(len, self._waiting.values()))
        return waiting + (0 if self._report is None else len(self._report.domains))

    def question(self, link: Link) -> Message:
        """Return what a worker is asked for."""
        return {"day": self._today(), "confirmed": self._heard.get((link.pid, link.born), 0)}

    def take(self, link: Link, answer: Message) -> None:
        """Take a worker's answer, once."""
        if answer["number"] <= self._heard.get((link.pid, link.born), 0):
            return
        self._heard[link.pid, link.born] = answer["number"]
        day = int(answer["day"]) or self._today()
        names = self._waiting.setdefault(day, {})
        for name in answer["names"]:
            if len(self) >= self._most and name not in names:
                self._lost.add(day)
                break
            names[name] = None
        if answer["lost"]:
            self._lost.add(day)

    def report(self) -> DayReport | None:
        """Return what is to be told next: again, until `taken`. None for nothing."""
        if self._report is None:
            self._report = self._next()
        return self._report

    def _next(self) -> DayReport | None:
        today = self._today()
        for day in [day for day in self._waiting if day <= today - _KEPT_DAYS]:
            del self._waiting[day]  # the registry sees a gap
        self._lost = {day for day in self._lost if day > today - _KEPT_DAYS}
        days = {day for day, names in self._waiting.items() if names} | self._lost
        if not days and self._told == today:
            if self._since != today:
                self._since = today
                self._write({"since": today})
            return None
        day = min(days, default=today)  # a day without traffic is told as well
        names = self._waiting.get(day, {})
        some = tuple(islice(names, DOMAINS_IN_REPORT))
        for name in some:
            del names[name]
        if not names:
            self._waiting.pop(day, None)
        lost = day in self._lost
        self._lost.discard(day)
        return DayReport(date.fromordinal(day), some, lost)

    def taken(self) -> None:
        """The registry has the report, or will never take it."""
        if self._report is not None:
            self._told = max(self._told, self._report.day.toordinal())
        self._report = None

    def save(self) -> None:
        """Keep for the next control process what is still to be told."""
        report, self._report = self._report, None
        if report is not None:
            day = report.day.toordinal()
            self._waiting.setdefault(day, {}).update(dict.fromkeys(report.domains))
            self._lost |= {day} if report.lost else set()
        self._write({})

    def _write(self, more: dict[str, int]) -> None:
        state = {
            "days": [[day, list(names)] for day, names in self._waiting.items()],
            "lost": sorted(self._lost),
        }
        try:
            replace_file(self._path, json.dumps(state | more))
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._path, error.strerror)

    def _restore(self) -> None:
        if not self._path.exists():
            return
        found = restored(self._path, _days, "what it had of traffic is not reported")
        if found is None:
            self._lost = {self._today()}
            return
        self._waiting, self._lost, since = found
        if since is not None:  # it was killed, and what it had heard of went with it
            today = self._today()
            self._lost |= {today, *range(max(since, today - _KEPT_DAYS + 1), today)}

    def _today(self) -> int:
        return (datetime.fromtimestamp(self._clock(), UTC) + _CHINA).date().toordinal()


def _days(state: Any) -> tuple[dict[int, dict[str, None]], set[int], int | None]:
    """Return what was written: names by the day, the days that are incomplete, and, if it was
    no orderly end, since which day names may be lost.
    """
    waiting = {_day(day): dict.fromkeys(map(_name, names)) for day, names in state["days"]}
    since = _day(state["since"]) if "since" in state else None
    return waiting, set(map(_day, state["lost"])), since


def _day(value: Any) -> int:
    return date.fromordinal(value).toordinal()


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no name")
    return value


class TrafficReporter:
    """Empties it into the registry that the gate follows."""

    def __init__(
        self, settings: TrafficReportSettings, sync: Sync, state_dir: Path, traffic: Traffic
    ) -> None:
        self._rounds = Rounds(
            sync, state_dir, what="names with traffic", seconds=settings.seconds, longest=600.0
        )
        self._traffic = traffic

    async def run(self) -> None:
        """Report until cancelled."""
        await self._rounds.run(self._report_all)

    async def _report_all(self) -> None:
        async with self._rounds.source() as source:
            while (report := self._traffic.report()) is not None:
                body = {
                    "gate": self._rounds.gate,
                    "day": report.day.isoformat(),
                    "domains": report.domains,
                    "lost": report.lost,
                }
                try:
                    await source.report_traffic(body)
                except Unacceptable as error:
                    self._rounds.count("refused")
                    _log.error("a report of traffic of %s is dropped: %s", report.day, error)
                else:
                    self._rounds.count("taken")
                self._traffic.taken()

    def samples(self) -> Iterator[tuple[Metric, list[Sample]]]:
        """Yield the reports' figures for /metrics."""
        yield metrics.TRAFFIC_REPORTS, self._rounds.samples()
        yield metrics.TRAFFIC_WAITING, [((), float(len(self._traffic)))]
