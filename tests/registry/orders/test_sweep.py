"""What the clocks do: each thing once, at its time in China, or later if nobody was there."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest

from gate.registry.database import Database
from gate.registry.errors import RegistryError
from gate.registry.operations import Work
from gate.registry.orders.commands import (
    AbandonOrder,
    PassOrder,
    SubmitOrder,
    UpdateOrder,
    WithdrawOrder,
)
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.states import OrderState
from gate.registry.orders.views import EventView
from gate.registry.orders.working_days import WorkingDays
from gate.registry.registry import Registry
from gate.registry.workflow import sweep as sweeping
from gate.registry.workflow.queries import events_of
from gate.registry.workflow.record import Order
from tests.registry.conftest import Clock
from tests.registry.orders.steps import (
    REVIEWER,
    at_authority,
    china,
    draft,
    filing,
    history,
    owner,
    refused,
    returned,
    show,
    submitted,
    take,
)


def events(registry: Registry, number: int) -> list[EventView]:
    """The whole history of an order."""
    with registry.database.read() as connection:
        return events_of(connection, number)


def reminded(registry: Registry, number: int) -> list[tuple[int, bool]]:
    """The days of which the owner was reminded, and whether it was told."""
    return [
        (event.detail["day"], event.notice)
        for event in events(registry, number)
        if event.event == "remind"
    ]


def test_a_draft_that_nobody_touches_can_only_be_abandoned(
    registry: Registry, clock: Clock
) -> None:
    number = draft(registry, filing("a.cn"))
    clock.now = float(china("2026-04-09 00:00")) - 1
    assert registry.sweep() == (0, [])
    clock.now += 1
    assert registry.sweep() == (1, [])
    assert show(registry, number).state is OrderState.STALE
    step = UpdateOrder(order=number, entry=filing("a.cn"))
    assert refused(registry, step, owner()).code == "order_state"
    assert refused(registry, SubmitOrder(order=number), owner()).code == "order_state"
    take(registry, AbandonOrder(order=number), owner())


def test_an_update_begins_a_draft_s_days_anew(registry: Registry, clock: Clock) -> None:
    number = draft(registry, filing("a.cn"))
    clock.now = float(china("2026-04-08 12:00"))
    take(registry, UpdateOrder(order=number, entry=filing("a.cn")), owner())
    clock.now = float(china("2026-04-20 12:00"))
    assert registry.sweep() == (0, [])
    take(registry, SubmitOrder(order=number), owner())


def test_a_return_is_reminded_of_on_days_5_10_and_15_and_lapses_after_45(
    registry: Registry, clock: Clock
) -> None:
    number = returned(registry, filing("a.cn"))
    seen: list[str] = []
    for day in range(60):
        for hour in (0, 9, 11):
            clock.now = float(china("2026-03-09 00:00")) + day * 86_400 + hour * 3_600
            if clock.now >= china("2026-03-09 10:00"):
                registry.sweep()
        new = history(registry, number)[len(seen) :]
        seen += new
        if new and day:
            told = f"day {day}: {' '.join(new)}"
            expected = {
                5: "day 5: remind",
                10: "day 10: remind",
                15: "day 15: remind",
                46: "day 46: lapse",
            }
            assert told == expected.get(day)
    assert reminded(registry, number) == [(5, True), (10, True), (15, True)]
    found = show(registry, number)
    assert (found.state, found.entry.items[0].domains) == (OrderState.DRAFT, ("a.cn",))
    # Its domain is free again, and its days as a draft have begun with the lapse.
    submitted(registry, filing("a.cn", certificate="2"), "a2")
    assert found.due is not None
    assert found.due.at == china("2026-05-25 00:00")


@pytest.mark.parametrize("weeks", [3, 5, 7, 20])
def test_weeks_without_a_registry_do_each_thing_once(
    registry: Registry, clock: Clock, weeks: int
) -> None:
    number = returned(registry, filing("a.cn"))
    clock.now += weeks * 7 * 86_400
    assert registry.sweep() == (1, [])
    assert registry.sweep() == (0, [])
    lapsed = weeks * 7 > 45
    # The owner is told of the last thing only, not of three reminders at a time.
    assert reminded(registry, number) == [(5, False), (10, False), (15, not lapsed)]
    assert history(registry, number).count("lapse") == lapsed
    assert show(registry, number).state is (OrderState.DRAFT if lapsed else OrderState.RETURNED)
    if lapsed:
        # The draft's own days count from now on: the owner has just been told.
        due = show(registry, number).due
        assert due is not None
        assert due.at > clock.now + 29 * 86_400


def test_an_sms_round_that_ran_out_while_nobody_was_there_is_returned_not_lapsed(
    registry: Registry, clock: Clock
) -> None:
    number = submitted(registry, filing("a.cn"))
    take(registry, PassOrder(order=number), REVIEWER)
    clock.now += 86_400 - 1
    assert registry.sweep() == (0, [])
    clock.now += 60 * 86_400
    registry.sweep()
    found = show(registry, number)
    assert (found.state, found.since) == (OrderState.RETURNED, int(clock.now))
    assert history(registry, number)[-1] == "sms_expired"
    assert "超过时限" in found.reason


def test_the_authority_s_time_is_shown_and_moves_nothing(registry: Registry, clock: Clock) -> None:
    number = at_authority(registry, filing("a.cn"))
    clock.now += 400 * 86_400
    assert registry.sweep()[0] == 0
    found = show(registry, number)
    assert (found.state, found.overdue) == (OrderState.AUTHORITY_REVIEW, True)


def test_what_the_owner_did_in_time_is_not_undone(registry: Registry, clock: Clock) -> None:
    number = returned(registry, filing("a.cn"))
    clock.now += 44 * 86_400
    take(registry, SubmitOrder(order=number), owner())
    clock.now += 400 * 86_400
    registry.sweep()
    assert show(registry, number).state is OrderState.PROVIDER_REVIEW


def test_a_clock_that_goes_back_does_nothing_again(registry: Registry, clock: Clock) -> None:
    number = returned(registry, filing("a.cn"))
    clock.now += 6 * 86_400
    registry.sweep()
    clock.now -= 3 * 86_400
    registry.sweep()
    clock.now += 3 * 86_400
    registry.sweep()
    assert reminded(registry, number) == [(5, True)]


def test_one_order_that_can_not_be_moved_keeps_no_other_waiting(
    registry: Registry,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = draft(registry, filing("a.cn"), "a1")
    good = draft(registry, filing("b.cn"), "a2")
    clock.now += 40 * 86_400
    real = sweeping._run

    def run(work: Work, order: Order) -> bool:
        ran = real(work, order)
        if order.id == bad:
            raise RuntimeError("a fault of this program")
        return ran

    monkeypatch.setattr(sweeping, "_run", run)
    with caplog.at_level(logging.ERROR):
        assert registry.sweep() == (1, [bad])
    assert f"order {bad} could not be moved" in caplog.text
    assert show(registry, good).state is OrderState.STALE
    assert show(registry, bad).state is OrderState.DRAFT
    monkeypatch.undo()
    assert registry.sweep() == (1, [])
    assert show(registry, bad).state is OrderState.STALE


def test_many_orders_are_swept_in_one_go(
    lite: Registry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "GROUP", 20)
    numbers = [draft(lite, filing(f"d{n}.cn"), f"a{n}") for n in range(sweeping.GROUP * 2 + 5)]
    clock.now += 40 * 86_400
    assert lite.sweep() == (len(numbers), [])
    assert {show(lite, number).state for number in numbers} == {OrderState.STALE}


@pytest.mark.programs
def test_two_registries_on_one_database_do_each_thing_once(
    postgres_database: str, clock: Clock
) -> None:
    """At the same time, on connections of their own."""
    databases = [Database(postgres_database) for _ in range(2)]
    one, other = (Registry(database, clock=clock) for database in databases)
    try:
        numbers = [
            returned(one, filing(f"d{n}.cn", certificate=f"c{n}"), f"a{n}") for n in range(30)
        ]
        clock.now += 16 * 86_400
        with ThreadPoolExecutor(2) as threads:
            moved = [found[0] for found in threads.map(Registry.sweep, [one, other])]
        assert sum(moved) == len(numbers)
        for number in numbers:
            assert [day for day, _ in reminded(one, number)] == [5, 10, 15]
    finally:
        for database in databases:
            database.close()


def test_an_estimate_is_computed_anew_once_its_year_is_announced(
    registry: Registry, clock: Clock
) -> None:
    year = WorkingDays().known_to + 1
    clock.now = float(china(f"{year - 1}-12-20 10:00"))
    number = at_authority(registry, filing("a.cn"))
    before = show(registry, number).due
    assert before is not None
    assert before.estimate
    registry.sweep()
    assert show(registry, number).due == before
    # It is announced that the first ten weekdays of January are off.
    days = WorkingDays()
    off = [days.after(date(year - 1, 12, 31), 1).day]
    while len(off) < 10:
        off.append(days.after(off[-1], 1).day)
    announced = WorkingDays({year: (frozenset(off), frozenset())})
    registry.policy = replace(OrderPolicy(), days=announced)
    registry.sweep()
    after = show(registry, number).due
    assert after is not None
    assert not after.estimate
    assert after.at > before.at
    assert history(registry, number)[-1] == "reckon"
    registry.sweep()
    assert history(registry, number).count("reckon") == 1


def test_what_ended_has_no_clock(registry: Registry, clock: Clock) -> None:
    number = returned(registry, filing("a.cn"))
    take(registry, WithdrawOrder(order=number), owner())
    clock.now += 100 * 86_400
    assert registry.sweep() == (0, [])
    with pytest.raises(RegistryError):
        registry.perform(SubmitOrder(order=number), actor=owner())
