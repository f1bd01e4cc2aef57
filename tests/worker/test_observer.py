"""What is noted of decisions: every blocked name, and lines within the second's budget."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gate.policy import Reason, Verdict
from gate.settings import AccessLog
from gate.worker.access_log import LOGGER, JsonLines
from gate.worker.blocked_counts import BlockedCounts
from gate.worker.journal import Journal
from gate.worker.observer import FOLD_AT, TICK_SECONDS, Observer

BLOCKED = Verdict(False, Reason.UNFILED, Reason.UNFILED.code, "a.cn")
ALLOWED = Verdict(True, Reason.FILED, Reason.FILED.code, "b.cn", "b.cn")


@dataclass
class Noted:
    """An observer whose lines and rows can be looked at."""

    access: AccessLog
    chances: list[float] = field(default_factory=list)
    blocked: BlockedCounts = field(default_factory=lambda: BlockedCounts(lambda name: "default"))

    def __post_init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.observer = Observer(
            ["http", "tls"],
            run="ab",
            access=self.access,
            lines=JsonLines(1, 0),
            journal=Journal(self._writing),
            blocked=self.blocked,
            clock=lambda: 1700000000.0,
            chance=lambda: self.chances.pop(0) if self.chances else 0.99,
        )

    def note(self, verdict: Verdict, times: int = 1, *, number: int = 5) -> None:
        for _ in range(times):
            self.observer.observe("tls", "tls", "192.0.2.1", verdict, verdict.allowed, number)

    def second(self) -> list[dict[str, Any]]:
        """What has been written when the next second begins."""
        for _ in range(int(1 / TICK_SECONDS)):
            self.observer.tick()
        try:
            return [json.loads(line) for line in os.read(self._reading, 1 << 20).splitlines()]
        except BlockingIOError:
            return []

    def counts(self) -> dict[str, int]:
        self.observer.fold()
        return {row[0]: row[4] for row in self.blocked.take(0, 0)["rows"]}

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)


def test_blocked_decisions_are_counted_beyond_the_budget_and_lines_are_not_made() -> None:
    noted = Noted(AccessLog(per_second=3))
    noted.note(BLOCKED, 10)
    lines = noted.second()
    assert [line["event"] for line in lines] == ["decision"] * 3 + ["suppressed"]
    assert lines[-1]["count"] == 7
    assert noted.observer.lines() == {"written": 4, "suppressed": 7, "dropped": 0}
    assert noted.counts() == {"a.cn": 10}
    noted.close()


def test_lines_that_nobody_reads_are_counted() -> None:
    noted = Noted(AccessLog(per_second=10_000))
    noted.note(BLOCKED, 2000)
    noted.observer.close()
    lines = noted.observer.lines()
    written = len(noted.second())
    assert written < 2000
    assert lines == {"written": written, "suppressed": 0, "dropped": 2000 - written}
    noted.close()


def test_each_second_has_a_budget_of_its_own() -> None:
    noted = Noted(AccessLog(per_second=2))
    noted.note(BLOCKED, 2)
    assert len(noted.second()) == 2
    noted.note(BLOCKED, 2)
    assert len(noted.second()) == 2
    assert noted.observer.suppressed == 0
    noted.close()


def test_lines_of_one_connection_have_its_name() -> None:
    noted = Noted(AccessLog())
    noted.note(BLOCKED, 2, number=7)
    noted.note(BLOCKED, number=8)
    names = [line["connection"] for line in noted.second()]
    assert names == ["ab-tls-7", "ab-tls-7", "ab-tls-8"]
    noted.close()


def test_allowed_decisions_get_a_line_by_chance_and_never_a_row() -> None:
    noted = Noted(AccessLog(sample=0.5), chances=[0.4, 0.6, 0.49])
    noted.note(ALLOWED, 3)
    lines = noted.second()
    assert [(line["verdict"], line["sample"]) for line in lines] == [("pass", 0.5)] * 2
    assert noted.counts() == {}
    noted.close()


@pytest.mark.parametrize(
    ("access", "observing"),
    [
        (AccessLog(), False),
        (AccessLog(sample=0.1), True),
        (AccessLog(sample=1, per_second=0), False),
    ],
)
def test_allowed_decisions_are_observed_only_if_any_can_get_a_line(
    access: AccessLog, observing: bool
) -> None:
    noted = Noted(access)
    assert noted.observer.observing is observing
    noted.close()


def test_without_a_budget_names_are_counted_and_nothing_is_written() -> None:
    noted = Noted(AccessLog(per_second=0))
    noted.note(BLOCKED, 5)
    assert noted.second() == []
    assert noted.observer.suppressed == 0
    assert noted.counts() == {"a.cn": 5}
    noted.close()


def test_a_level_above_info_silences_the_lines_and_not_the_counting() -> None:
    logging.getLogger(LOGGER).setLevel(logging.WARNING)
    noted = Noted(AccessLog())
    noted.note(BLOCKED, 5)
    assert noted.second() == []
    assert noted.counts() == {"a.cn": 5}
    noted.close()


def test_what_is_counted_before_it_is_folded_is_bounded() -> None:
    noted = Noted(AccessLog(per_second=0))
    for number in range(3 * FOLD_AT):
        noted.note(Verdict(False, Reason.UNFILED, Reason.UNFILED.code, f"r{number}.cn"))
        assert all(len(counts) <= FOLD_AT for counts in noted.observer._counts.values())
    noted.close()
