"""The table of states: the guide's rows, and what must hold of any such table."""

from __future__ import annotations

from datetime import datetime

import pytest

from gate.registry.orders.clocks import dues, reckon
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.states import (
    CLOCKS,
    END_STATES,
    EVENT_NAMES,
    HOLDING_STATES,
    STATE_NAMES,
    TABLE,
    Effect,
    Event,
    OrderState,
    Party,
    WrongState,
    move,
    next_steps,
    target,
)
from gate.registry.orders.working_days import CHINA, WorkingDays

DAYS = WorkingDays()
TERMS = OrderPolicy().terms

# The guide's table: state, event, who acts, next state.
GUIDE = [
    ("draft", "submit", "owner", "provider_review"),
    ("draft", "abandon", "owner", "abandoned"),
    ("draft", "grow_stale", "clock", "stale"),
    ("stale", "abandon", "owner", "abandoned"),
    ("provider_review", "pass", "reviewer", "sms"),
    ("provider_review", "return", "reviewer", "returned"),
    ("returned", "submit", "owner", "provider_review"),
    ("returned", "withdraw", "owner", "withdrawn"),
    ("returned", "lapse", "clock", "draft"),
    ("sms", "all_verified", "persons", "authority_review"),
    ("sms", "sms_failed", "persons", "returned"),
    ("sms", "sms_expired", "clock", "returned"),
    ("sms", "lapse", "clock", "draft"),
    ("authority_review", "approve", "authority", "done"),
    ("authority_review", "return", "authority", "returned"),
    # What keeps the order where it is.
    ("draft", "update", "owner", "draft"),
    ("returned", "update", "owner", "returned"),
    ("returned", "remind", "clock", "returned"),
    ("sms", "verify", "persons", "sms"),
    ("sms", "wrong_code", "persons", "sms"),
]
MOVES = [(state, event) for state in OrderState for event in Event]


@pytest.mark.parametrize(("state", "event", "party", "to"), GUIDE)
def test_a_row_of_the_guide(state: str, event: str, party: str, to: str) -> None:
    row = move(OrderState(state), Event(event))
    assert (row.party, row.to) == (Party(party), OrderState(to))


@pytest.mark.parametrize(("state", "event"), MOVES, ids=[f"{s}-{e}" for s, e in MOVES])
def test_what_is_in_no_row_is_refused(state: OrderState, event: Event) -> None:
    if (state.value, event.value) in {row[:2] for row in GUIDE}:
        assert event in TABLE[state]
        return
    with pytest.raises(WrongState):
        move(state, event)


def test_every_state_and_event_is_in_the_tables() -> None:
    assert set(TABLE) == set(CLOCKS) == set(STATE_NAMES) == set(OrderState)
    assert set(EVENT_NAMES) == set(Event)
    used = {event for row in TABLE.values() for event in row}
    assert used == set(Event) - {Event.CREATE, Event.RECKON}


@pytest.mark.parametrize("state", OrderState)
def test_an_order_can_end_from_every_state(state: OrderState) -> None:
    seen, at = {state}, [state]
    while at:
        for row in TABLE[at.pop()].values():
            if row.to not in seen:
                seen.add(row.to)
                at.append(row.to)
    assert seen & END_STATES


@pytest.mark.parametrize("state", OrderState)
def test_whoever_waits_is_waited_for(state: OrderState) -> None:
    """Somebody can act in every state but the last ones, and no clock runs in those."""
    if state in END_STATES:
        assert TABLE[state] == {}
        assert CLOCKS[state] == ()
    else:
        assert len({party for _, party in next_steps(state)}) == 1


@pytest.mark.parametrize("state", OrderState)
def test_clocks_and_their_moves_belong_together(state: OrderState) -> None:
    moved = {event for event, row in TABLE[state].items() if row.party is Party.CLOCK}
    assert {clock.event for clock in CLOCKS[state] if clock.event} == moved


@pytest.mark.parametrize("state", [OrderState.PROVIDER_REVIEW, OrderState.AUTHORITY_REVIEW])
def test_the_provider_s_and_the_authority_s_time_moves_nothing(state: OrderState) -> None:
    assert [clock.event for clock in CLOCKS[state]] == [None]


@pytest.mark.parametrize("state", OrderState)
def test_domains_are_held_from_submission_to_the_end(state: OrderState) -> None:
    for row in TABLE[state].values():
        if state not in HOLDING_STATES and row.to in HOLDING_STATES:
            assert Effect.HOLD in row.effects
        if state in HOLDING_STATES and row.to not in HOLDING_STATES:
            assert Effect.RELEASE in row.effects


@pytest.mark.parametrize("state", OrderState)
def test_what_opened_early_closes_when_it_goes_back(state: OrderState) -> None:
    """All moves out of what follows the provider's pass close it, but the two that go on."""
    for event, row in TABLE[state].items():
        if state in {OrderState.SMS, OrderState.AUTHORITY_REVIEW} and row.to is not state:
            goes_on = event in {Event.ALL_VERIFIED, Event.APPROVE}
            assert (Effect.CLOSE in row.effects) is not goes_on


def test_names_are_filed_by_the_authority_s_approval_and_by_nothing_else() -> None:
    files = [
        (state, event)
        for state, row in TABLE.items()
        for event, found in row.items()
        if Effect.FILE in found.effects
    ]
    assert files == [(OrderState.AUTHORITY_REVIEW, Event.APPROVE)]


def test_cancelling_access_needs_no_sms() -> None:
    row = move(OrderState.PROVIDER_REVIEW, Event.PASS)
    assert target(row, needs_sms=True) is OrderState.SMS
    assert target(row, needs_sms=False) is OrderState.AUTHORITY_REVIEW


def at(text: str) -> int:
    """A time in China, in Unix seconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp())


# OrderState, entered at, and what is due: the event (or "" for what only shows) and its time.
CLOCK_CASES = [
    (
        "draft",
        "2026-03-01 09:00",
        [("grow_stale", "2026-04-01 00:00")],
    ),
    # Two working days over the first weekend of June 2026.
    ("provider_review", "2026-06-05 15:00", [("", "2026-06-10 00:00")]),
    (
        "returned",
        "2026-03-01 23:59",
        [
            ("remind", "2026-03-06 10:00"),
            ("remind", "2026-03-11 10:00"),
            ("remind", "2026-03-16 10:00"),
            ("lapse", "2026-04-16 00:00"),
        ],
    ),
    (
        "sms",
        "2026-03-01 09:30",
        [("sms_expired", "2026-03-02 09:30"), ("lapse", "2026-04-16 00:00")],
    ),
    # Twenty working days over Qingming 2026, the 4th to the 6th of April.
    ("authority_review", "2026-03-16 10:00", [("", "2026-04-15 00:00")]),
]


@pytest.mark.parametrize(("state", "entered", "due"), CLOCK_CASES)
def test_what_is_due_and_when(state: str, entered: str, due: list[tuple[str, str]]) -> None:
    found = dues(OrderState(state), at(entered), TERMS, DAYS)
    assert [(one.event or "", one.at) for one in found] == [(e, at(t)) for e, t in due]
    assert not any(one.rule.estimate for one in found)


def test_an_estimate_is_computed_anew_when_the_year_is_announced() -> None:
    """The rule that is stored beside the time is enough for it."""
    year = DAYS.known_to + 1
    entered = at(f"{DAYS.known_to}-12-28 10:00")
    (due,) = dues(OrderState.AUTHORITY_REVIEW, entered, TERMS, DAYS)
    assert due.rule.known_to == DAYS.known_to
    announced = {
        day for day in (datetime(year, 1, 4 + n).date() for n in range(5)) if DAYS.is_working(day)
    }
    later = WorkingDays({year: (frozenset(announced), frozenset())})
    again = reckon(due.rule, due.event, TERMS, later)
    assert not again.rule.estimate
    assert again.rule.since == entered
    assert again.at > due.at - 86_400  # New Year's Day itself is worked in this file
    assert again == dues(OrderState.AUTHORITY_REVIEW, entered, TERMS, later)[0]
