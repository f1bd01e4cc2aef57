"""What a gate tells of traffic: by the day, bounded, and honest about what is missing."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gate.control.traffic import DOMAINS_IN_REPORT, DayReport, Traffic
from gate.control.workers import Link

MIDNIGHT = 1_790_006_400.0  # 2026-09-22 00:00 in China
TODAY, TOMORROW = date(2026, 9, 22), date(2026, 9, 23)


class Clock:
    """The time, in the test's hands."""

    now = MIDNIGHT + 60

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(tmp_path: Path, clock: Clock, most: int = 1_000) -> Traffic:
    return Traffic(tmp_path / "traffic.json", most=most, clock=clock)


def worker(pid: int = 1) -> Link:
    return cast("Link", SimpleNamespace(pid=pid, born=5))


def answer(number: int, *names: str, day: date = TODAY, lost: bool = False) -> dict[str, Any]:
    return {"number": number, "day": day.toordinal(), "names": list(names), "lost": lost}


def told(traffic: Traffic) -> list[DayReport]:
    """All that is told now, and taken."""
    found = []
    while (report := traffic.report()) is not None:
        found.append(report)
        traffic.taken()
    return found


def test_the_day_is_china_s(tmp_path: Path, clock: Clock) -> None:
    traffic = made(tmp_path, clock)
    clock.now = MIDNIGHT - 1
    assert traffic.question(worker())["day"] == TODAY.toordinal() - 1
    clock.now = MIDNIGHT
    assert traffic.question(worker())["day"] == TODAY.toordinal()


def test_names_of_several_workers_are_told_once(tmp_path: Path, clock: Clock) -> None:
    traffic = made(tmp_path, clock)
    traffic.take(worker(1), answer(1, "a.cn", "b.cn"))
    traffic.take(worker(2), answer(1, "a.cn"))
    traffic.take(worker(1), answer(1, "again.cn"))  # an answer that was had before
    assert traffic.question(worker(1))["confirmed"] == 1
    assert told(traffic) == [DayReport(TODAY, ("a.cn", "b.cn"), False)]
    assert told(traffic) == []


def test_a_day_without_traffic_is_told_as_well_once(tmp_path: Path, clock: Clock) -> None:
    traffic = made(tmp_path, clock)
    assert told(traffic) == [DayReport(TODAY, (), False)]
    assert told(traffic) == []
    clock.now += 86_400
    assert told(traffic) == [DayReport(TOMORROW, (), False)]


def test_a_report_is_the_same_until_it_is_taken(tmp_path: Path, clock: Clock) -> None:
    traffic = made(tmp_path, clock, most=20_000)
    names = [f"{number}.cn" for number in range(DOMAINS_IN_REPORT + 1)]
    traffic.take(worker(), answer(1, *names))
    first = traffic.report()
    traffic.take(worker(), answer(2, "late.cn"))
    assert traffic.report() is first
    assert sum(len(report.domains) for report in told(traffic)) == DOMAINS_IN_REPORT + 2


def test_what_finds_no_room_makes_its_day_incomplete(tmp_path: Path, clock: Clock) -> None:
    traffic = made(tmp_path, clock, most=2)
    traffic.take(worker(), answer(1, "a.cn", "b.cn", "c.cn"))
    assert len(traffic) == 2
    assert told(traffic) == [DayReport(TODAY, ("a.cn", "b.cn"), True)]


def test_what_a_worker_lost_is_told(tmp_path: Path, clock: Clock) -> None:
    traffic = made(tmp_path, clock)
    traffic.take(worker(), answer(1, lost=True))
    assert told(traffic) == [DayReport(TODAY, (), True)]


def test_the_oldest_day_is_told_first_and_what_is_too_old_never(
    tmp_path: Path, clock: Clock
) -> None:
    traffic = made(tmp_path, clock)
    traffic.take(worker(), answer(1, "a.cn"))
    traffic.take(worker(), answer(2, "b.cn", day=TOMORROW))
    clock.now += 86_400
    assert [report.day for report in told(traffic)] == [TODAY, TOMORROW]
    traffic.take(worker(), answer(3, "c.cn", day=TOMORROW))
    clock.now += 30 * 86_400
    assert [report.domains for report in told(traffic)] == [()]


def test_what_waits_outlives_the_control_process(tmp_path: Path, clock: Clock) -> None:
    traffic = made(tmp_path, clock)
    traffic.take(worker(), answer(1, "a.cn", lost=True))
    assert traffic.report() is not None  # under way, and not taken
    traffic.take(worker(), answer(2, "b.cn"))
    traffic.save()
    following = made(tmp_path, clock)
    (report,) = told(following)
    assert (sorted(report.domains), report.lost) == (["a.cn", "b.cn"], True)
    following.save()
    assert told(made(tmp_path, clock)) == [DayReport(TODAY, (), False)]  # not twice


def test_days_whose_names_a_killed_control_process_had_are_incomplete(
    tmp_path: Path, clock: Clock
) -> None:
    first = made(tmp_path, clock)
    first.take(worker(), answer(1, "a.cn"))
    clock.now += 86_400  # killed on the next day, with the registry away all the time
    found = [(report.day, report.lost) for report in told(made(tmp_path, clock))]
    assert found == [(TODAY, True), (TOMORROW, True)]


def test_a_day_that_was_told_whole_stays_so_when_the_control_process_is_killed(
    tmp_path: Path, clock: Clock
) -> None:
    first = made(tmp_path, clock)
    first.take(worker(), answer(1, "a.cn"))
    assert told(first) == [DayReport(TODAY, ("a.cn",), False)]
    clock.now += 86_400
    told(first)
    second = made(tmp_path, clock)  # killed
    assert told(second) == [DayReport(TOMORROW, (), True)]
    clock.now += 86_400
    told(second)
    clock.now += 30 * 86_400
    days = [report.day for report in told(made(tmp_path, clock))]  # killed; a month is not told of
    assert len(days) == 7


def test_names_that_were_left_are_told_though_the_next_one_was_killed(
    tmp_path: Path, clock: Clock
) -> None:
    first = made(tmp_path, clock)
    first.take(worker(), answer(1, "a.cn"))
    first.save()
    made(tmp_path, clock)  # killed
    assert told(made(tmp_path, clock)) == [DayReport(TODAY, ("a.cn",), True)]


@pytest.mark.parametrize("text", ["", "{}", '{"days": 3, "lost": []}', "\xff"])
def test_a_damaged_file_makes_the_day_incomplete(tmp_path: Path, clock: Clock, text: str) -> None:
    (tmp_path / "traffic.json").write_text(text, encoding="latin-1")
    assert told(made(tmp_path, clock)) == [DayReport(TODAY, (), True)]
