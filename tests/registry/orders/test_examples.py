"""Examples of the filing guide that no other test has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gate.registry import log
from gate.registry.orders.commands import ApproveOrder, PassOrder, SubmitOrder
from gate.registry.orders.kinds import OrderType, Purpose
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.states import OrderState
from gate.registry.registry import Registry
from gate.registry.workflow.queries import events_of
from gate.settings import OrderSettings
from tests.registry.conftest import Clock
from tests.registry.orders.steps import (
    AUTHORITY,
    REVIEWER,
    at_authority,
    change,
    china,
    done,
    filing,
    history,
    owner,
    returned,
    show,
    submitted,
    take,
)
from tests.registry.orders.test_steps import elsewhere, passes

DAY = 86_400


def day_by_day(registry: Registry, clock: Clock, days: int, look: Callable[[], None]) -> None:
    """Let days go by from now on, with a sweep on each."""
    for _ in range(days):
        clock.now += DAY
        registry.sweep()
        look()


def days_of(registry: Registry, number: int, since: int) -> dict[int, str]:
    """What happened to an order, by the day since a day in China."""
    with registry.database.read() as connection:
        found = events_of(connection, number)
    return {(event.time - since) // DAY: event.event for event in found if event.time > since}


def test_a_cancelled_subject_closes_its_ten_services_in_one_batch(lite: Registry) -> None:
    names = [f"site-{number}.cn" for number in range(10)]
    found = done(lite, filing(*names))
    assert found.licence.split() == [f"鲁ICP备2026000001号-{n}" for n in range(1, 11)]
    number = at_authority(lite, change(purpose=Purpose.CANCEL))
    before = lite.head().revision
    ended = take(lite, ApproveOrder(order=number), AUTHORITY)
    assert ended.type is OrderType.CANCEL_SUBJECT
    with lite.database.read() as connection:
        changes = log.read_after(connection, before, limit=1)  # whole batches
    assert sorted(one.domain for one in changes) == sorted(names)
    assert {one.status.value for one in changes} == {"absent"}


@pytest.mark.parametrize("owner_days", [45, 30])
def test_a_return_on_day_0_is_a_draft_again_after_its_days_and_too_old_30_days_later(
    registry: Registry, clock: Clock, owner_days: int
) -> None:
    registry.policy = OrderPolicy.of(OrderSettings(owner_days=owner_days))
    number = returned(registry, filing("a.cn"))
    day_by_day(registry, clock, 90, lambda: None)
    # Its last day ends at midnight; the sweep of these tests runs at ten.
    assert days_of(registry, number, china("2026-03-09 10:00")) == {
        5: "remind",
        10: "remind",
        15: "remind",
        owner_days + 1: "lapse",
        owner_days + 1 + 31: "grow_stale",
    }
    assert show(registry, number).state is OrderState.STALE
    assert show(registry, number).entry.items[0].domains == ("a.cn",)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # The persons' day ends first: back to the owner, and the lapse finds it closed.
        ({}, {1: "sms_expired", 6: "remind", 11: "remind", 16: "remind", 47: "lapse"}),
        # The owner's days end while the persons have still time.
        ({"owner_days": 20, "sms_hours": 30 * 24}, {21: "lapse"}),
    ],
    ids=["returned before", "in the verification"],
)
def test_an_access_filing_that_opened_provisionally_closes_before_its_order_lapses(
    registry: Registry, clock: Clock, settings: dict[str, int], expected: dict[int, str]
) -> None:
    given = OrderSettings.model_validate(settings | {"access_opens": "provider_pass"})
    registry.policy = OrderPolicy.of(given)
    elsewhere(registry, "old.cn")
    number = submitted(registry, filing("old.cn", licence="京ICP备12345678号", certificate=None))
    assert show(registry, number).type is OrderType.ACCESS_FILING
    assert not passes(registry, "old.cn")
    take(registry, PassOrder(order=number), REVIEWER)
    assert passes(registry, "old.cn")
    open_days: list[bool] = []
    day_by_day(registry, clock, 50, lambda: open_days.append(passes(registry, "old.cn")))
    assert days_of(registry, number, china("2026-03-09 10:00")) == expected
    closes = min(expected)
    assert open_days == [True] * (closes - 1) + [False] * (50 - closes + 1)
    assert (show(registry, number).state, show(registry, number).opened) == (
        OrderState.DRAFT,
        False,
    )
    # What was entered is kept: it goes again to the provider, and opens again.
    take(registry, SubmitOrder(order=number), owner())
    take(registry, PassOrder(order=number), REVIEWER)
    assert passes(registry, "old.cn")
    assert history(registry, number)[-2:] == ["submit", "pass"]
