"""When something is due: computed when an order enters a state, stored with the rule that made it.

A term of days ends with its last day in China: a draft of 28 November with 30 days is too old when
28 December ends. A reminder goes out in the morning of its day. Hours are hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict

from gate.registry.orders.states import CLOCKS, Event, OrderState, Unit
from gate.registry.orders.working_days import (
    WorkingDays,
    china_date,
    china_midnight,
    end_of_day,
)

HOUR: Final = 3_600


@dataclass(slots=True, frozen=True)
class Terms:
    """How long the clocks run."""

    draft_days: int
    provider_days: int
    owner_days: int
    sms_hours: int
    authority_days: int
    reminders: tuple[int, ...]
    reminder_hour: int = 10
    """The hour in China at which a reminder goes out."""


class Rule(BaseModel):
    """The rule by which a due time was computed, as it is stored beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    term: str
    amount: int
    unit: Unit
    since: int
    known_to: int | None = None
    """For an estimate, the last year whose holidays were announced."""

    @property
    def estimate(self) -> bool:
        """Whether a year on the way was not announced (预计)."""
        return self.known_to is not None


@dataclass(slots=True, frozen=True)
class Due:
    """One thing that is due at a time, in Unix seconds; `event` None moves nothing."""

    at: int
    event: Event | None
    rule: Rule


def dues(state: OrderState, since: int, terms: Terms, days: WorkingDays) -> list[Due]:
    """Return what is due for an order that entered a state at `since`, in order of time."""
    found: list[Due] = []
    for clock in CLOCKS[state]:
        amounts = getattr(terms, clock.term)
        for amount in amounts if isinstance(amounts, tuple) else (amounts,):
            rule = Rule(term=clock.term, amount=amount, unit=clock.unit, since=since)
            found.append(_due(rule, clock.event, terms, days))
    return sorted(found, key=lambda due: (due.at, due.event is None))


def reckon(rule: Rule, event: Event | None, terms: Terms, days: WorkingDays) -> Due:
    """Return a stored rule's due time by the calendar as it is known now."""
    return _due(rule.model_copy(update={"known_to": None}), event, terms, days)


def _due(rule: Rule, event: Event | None, terms: Terms, days: WorkingDays) -> Due:
    if rule.unit is Unit.HOURS:
        return Due(rule.since + rule.amount * HOUR, event, rule)
    start = china_date(rule.since)
    if rule.unit is Unit.WORKING_DAYS:
        day, estimate = days.after(start, rule.amount)
        if estimate:
            rule = rule.model_copy(update={"known_to": days.known_to})
        return Due(end_of_day(day), event, rule)
    last: date = start + timedelta(days=rule.amount)
    if event is Event.REMIND:
        return Due(china_midnight(last) + terms.reminder_hour * HOUR, event, rule)
    return Due(end_of_day(last), event, rule)
