"""Days as the filing system counts them: China Standard Time, natural days, working days.

Working days are those of the State Council: Monday to Friday, less the holidays that it announces
for each year in the autumn before, and with the weekend days that it has made up for them (调休).
`chinesecalendar` is the source of what was announced. A year that it does not know, and that no
file of the provider's names, counts Monday to Friday less the statutory holidays (`holidays` has
their rules); what comes of such a year is an estimate, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from gate.registry.errors import RegistryFailure

CHINA: Final = timezone(timedelta(hours=8), "CST")
"""China Standard Time: no daylight saving since 1991."""

_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5


class CalendarError(RegistryFailure):
    """A file of announced holidays that can't be used."""


class _Year(BaseModel):
    """One announced year, as a provider writes it down."""

    model_config = ConfigDict(extra="forbid")

    holidays: frozenset[date]
    workdays: frozenset[date] = frozenset()


class _File(BaseModel):
    """A file of announced years."""

    model_config = ConfigDict(extra="forbid")

    years: Mapping[int, _Year]


class Reckoned(NamedTuple):
    """A day that was counted to, and whether a year on the way was not announced yet."""

    day: date
    estimate: bool


@dataclass(frozen=True)
class WorkingDays:
    """The working days of mainland China.

    `announced` adds to, or corrects, the years that the library knows: for each of them, the
    weekdays off and the weekend days worked.
    """

    announced: Mapping[int, tuple[frozenset[date], frozenset[date]]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Return the known years, and those in a YAML file `{years: {2027: {holidays, workdays}}}`.

        Raises CalendarError for a file that can't be read, with a date outside its year, a day
        both off and worked, a working day that is no weekend day, or a year of no holidays.
        """
        if path is None:
            return cls()
        try:
            found = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
            raise CalendarError(f"{path} can't be used: {error}") from error
        for number, year in found.years.items():
            for day in year.holidays | year.workdays:
                if day.year != number:
                    raise CalendarError(f"{path}: {day} stands under the year {number}")
            if not year.holidays or year.holidays & year.workdays:
                raise CalendarError(f"{path}: {number} has no holidays, or a day both off and on")
            for day in year.workdays:
                if day.weekday() < _SATURDAY:
                    raise CalendarError(f"{path}: {day} is no weekend day; leave it out")
        return cls({n: (year.holidays, year.workdays) for n, year in found.years.items()})

    @cached_property
    def known_to(self) -> int:
        """The last year of an unbroken run of announced ones."""
        year = max(_library())
        while year + 1 in self.announced:
            year += 1
        return year

    def is_announced(self, year: int) -> bool:
        """Return whether the State Council's days of a year are known."""
        return year in self.announced or year in _library()

    def is_working(self, day: date) -> bool:
        """Return whether a day is worked; an estimate in a year that is not announced."""
        off, worked = self.announced.get(day.year) or _library().get(day.year) or _rule(day.year)
        return day in worked or (day.weekday() < _SATURDAY and day not in off)

    def after(self, start: date, days: int) -> Reckoned:
        """Return the `days`th working day after `start`, which does not count itself.

        `days` >= 1.
        """
        if days < 1:
            raise ValueError(f"{days} working days can't be counted; at least one")
        at, left, estimate = start, days, False
        while left:
            at += _DAY
            estimate = estimate or not self.is_announced(at.year)
            left -= self.is_working(at)
        return Reckoned(at, estimate)


def china_date(seconds: float) -> date:
    """Return the date in China at a time in Unix seconds."""
    return datetime.fromtimestamp(seconds, CHINA).date()


def china_midnight(day: date) -> int:
    """Return when a day begins in China, in Unix seconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=CHINA).timestamp())


def end_of_day(day: date) -> int:
    """Return when a day ends in China, in Unix seconds: the next one's beginning."""
    return china_midnight(day + _DAY)


@lru_cache(maxsize=1)
def _library() -> Mapping[int, tuple[frozenset[date], frozenset[date]]]:
    """Announced years: weekdays off and weekend days worked."""
    from chinese_calendar import constants

    years = {day.year for day in constants.holidays}
    return {
        year: (
            frozenset(day for day in constants.holidays if day.year == year),
            frozenset(day for day in constants.workdays if day.year == year),
        )
        for year in years
    }


@lru_cache(maxsize=64)
def _rule(year: int) -> tuple[frozenset[date], frozenset[date]]:
    """Return a year by the statutory holidays alone; nothing is made up for."""
    from holidays import country_holidays

    return frozenset(country_holidays("CN", years=year)), frozenset()
