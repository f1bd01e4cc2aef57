"""Working days as the State Council announced them, estimates beyond, China Standard Time."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.registry.orders.working_days import (
    CHINA,
    CalendarError,
    WorkingDays,
    china_date,
    china_midnight,
    end_of_day,
)

DAYS = WorkingDays()
BEYOND = DAYS.known_to + 1

# From the State Council's notices of those years.
ANNOUNCED = [
    (date(2024, 2, 9), True, "the eve of 2024's Spring Festival was worked"),
    (date(2024, 2, 10), False, "Spring Festival"),
    (date(2024, 2, 4), True, "a Sunday that was made up"),
    (date(2024, 2, 18), True, "a Sunday that was made up"),
    (date(2024, 2, 16), False, "a Friday off"),
    (date(2024, 5, 11), True, "a Saturday that was made up"),
    (date(2024, 10, 7), False, "the last day of National Day's week"),
    (date(2025, 1, 28), False, "the eve is a holiday since 2025"),
    (date(2025, 1, 26), True, "a Sunday that was made up"),
    (date(2025, 4, 27), True, "a Sunday that was made up"),
    (date(2025, 6, 14), False, "any Saturday"),
    (date(2025, 6, 16), True, "any Monday"),
    (date(2026, 10, 10), True, "a Saturday that was made up"),
]


@pytest.mark.parametrize(("day", "worked", "why"), ANNOUNCED, ids=[str(c[0]) for c in ANNOUNCED])
def test_announced_days_are_as_announced(day: date, worked: bool, why: str) -> None:
    assert DAYS.is_working(day) is worked, why


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        # Friday; the next day is a Saturday.
        (date(2025, 6, 13), 1, date(2025, 6, 16)),
        # Over National Day 2024: 1 to 7 October off, Saturday the 12th made up.
        (date(2024, 9, 30), 1, date(2024, 10, 8)),
        (date(2024, 9, 30), 5, date(2024, 10, 12)),
        # The authority's 20 working days over Spring Festival 2025, which has 26 January and
        # 8 February made up, and 28 January to 4 February off.
        (date(2025, 1, 20), 20, date(2025, 2, 21)),
    ],
)
def test_working_days_are_counted_over_holidays_and_made_up_days(
    start: date, days: int, end: date
) -> None:
    assert DAYS.after(start, days) == (end, False)


def test_a_year_that_is_not_announced_is_an_estimate_and_says_so() -> None:
    last = date(DAYS.known_to, 12, 31)
    assert DAYS.after(last, 1).estimate
    assert not DAYS.is_working(date(BEYOND, 1, 1))
    for month, day in ((5, 1), (5, 2), (10, 1), (10, 2), (10, 3)):
        assert not DAYS.is_working(date(BEYOND, month, day))
    # No year without end: the statutory rules go on.
    assert not DAYS.is_working(date(2050, 10, 1))


@pytest.mark.parametrize(
    "day",
    [date(2027, 2, 5), date(2027, 2, 8), date(2027, 4, 5), date(2027, 6, 9), date(2027, 9, 15)],
    ids=["eve", "third day", "tomb-sweeping", "dragon boat", "mid-autumn"],
)
def test_an_estimate_leaves_out_the_lunar_holidays(day: date) -> None:
    assert day.weekday() < 5, "the case says something only on a weekday"
    assert not DAYS.is_working(day)


def test_a_way_that_only_begins_in_a_known_year_is_an_estimate() -> None:
    start = date(DAYS.known_to, 12, 28)
    assert not DAYS.after(start, 1).estimate
    assert DAYS.after(start, 20).estimate


def test_a_file_of_the_provider_makes_a_year_known(tmp_path: Path) -> None:
    path = tmp_path / "days.yaml"
    monday = next(date(BEYOND, 6, d) for d in range(8, 15) if date(BEYOND, 6, d).weekday() == 0)
    saturday = date.fromordinal(monday.toordinal() + 5)
    path.write_text(
        f"years:\n  {BEYOND}:\n    holidays: [{monday}]\n    workdays: [{saturday}]\n", "utf-8"
    )
    days = WorkingDays.load(path)
    assert days.known_to == BEYOND
    assert not days.is_working(monday)
    assert days.is_working(saturday)
    assert not days.after(date(BEYOND, 6, 1), 5).estimate


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("years: {2027: {holidays: [2028-01-01]}}", "2028-01-01 stands under the year 2027"),
        ("years: {2027: {holidays: []}}", "no holidays"),
        ("years: {2027: {holidays: [2027-01-02], workdays: [2027-01-02]}}", "both off and on"),
        ("years: {2027: {holidays: [2027-01-01], workdays: [2027-01-04]}}", "no weekend day"),
        ("years: {2027: {holiday: [2027-01-01]}}", "can't be used"),
        ("[", "can't be used"),
        ("years: 5", "can't be used"),
    ],
)
def test_a_file_that_can_not_be_right_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "days.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(CalendarError, match=says):
        WorkingDays.load(path)
    with pytest.raises(CalendarError, match="can't be used"):
        WorkingDays.load(tmp_path / "missing.yaml")


def test_dates_are_china_s() -> None:
    before = datetime(2026, 11, 28, 15, 59, 59).replace(tzinfo=None)
    seconds = int((before - datetime(1970, 1, 1)).total_seconds())  # as UTC
    assert china_date(seconds) == date(2026, 11, 28)
    assert china_date(seconds + 1) == date(2026, 11, 29)
    assert china_midnight(date(2026, 11, 29)) == seconds + 1
    assert end_of_day(date(2026, 11, 28)) == seconds + 1


@given(st.dates(date(2004, 1, 1), date(2040, 1, 1)), st.integers(1, 60))
def test_counting_is_the_sum_of_single_steps(start: date, days: int) -> None:
    step = start
    for _ in range(days):
        step = DAYS.after(step, 1).day
    found = DAYS.after(start, days)
    assert found.day == step
    assert DAYS.is_working(found.day)
    first = date.fromordinal(start.toordinal() + 1)
    assert found.estimate == any(
        not DAYS.is_announced(year) for year in range(first.year, found.day.year + 1)
    )


@given(st.integers(0, 4_000_000_000))
def test_a_time_lies_within_its_day(seconds: int) -> None:
    day = china_date(seconds)
    assert china_midnight(day) <= seconds < end_of_day(day)
    assert datetime.fromtimestamp(china_midnight(day), CHINA).hour == 0
