"""Reading orders: one, many by state, account, name or what is due, and their events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from gate.registry.errors import RegistryError
from gate.registry.orders.entries import mask_phone, masked
from gate.registry.orders.states import (
    END_STATES,
    PARTY_NAMES,
    Event,
    OrderState,
    Party,
    next_steps,
)
from gate.registry.orders.views import (
    DueView,
    EventView,
    OrderQuery,
    OrderSummary,
    OrderView,
    PersonView,
    StepView,
    WaitingPerson,
)
from gate.registry.schema import order_events, order_items, orders
from gate.registry.workflow.record import Clocked, Order, read_order


def order_view(
    connection: Connection, number: int, *, now: int, account: str | None = None
) -> OrderView:
    """Return an order; with `account`, only that one's. Raises RegistryError `order_unknown`."""
    row = connection.execute(select(orders).where(orders.c.id == number)).one_or_none()
    if row is None or (account is not None and row.account != account):
        raise RegistryError("order_unknown", field="order", order=number)
    return _view(read_order(row), now)


def find_orders(
    connection: Connection, query: OrderQuery, *, now: int, after: int, limit: int
) -> list[OrderSummary]:
    """Return orders by number, the newest first, below `after` (0 for the beginning)."""
    page = _select(query, now).order_by(orders.c.id.desc()).limit(limit)
    if after:
        page = page.where(orders.c.id < after)
    return [_summary(read_order(row), now) for row in connection.execute(page)]


def queue(
    connection: Connection,
    states: Sequence[OrderState],
    *,
    now: int,
    after: tuple[int, int],
    limit: int,
) -> list[OrderSummary]:
    """Return orders that wait in some states, the one that is due first first, beyond `after`."""
    key = orders.c.due_at
    page = select(orders).where(
        orders.c.state.in_([state.value for state in states]),
        or_(key > after[0], and_(key == after[0], orders.c.id > after[1])),
    )
    rows = connection.execute(page.order_by(key, orders.c.id).limit(limit))
    return [_summary(read_order(row), now) for row in rows]


def count_by_state(connection: Connection, states: Sequence[OrderState]) -> dict[str, int]:
    """Return how many orders are in each of some states."""
    rows = connection.execute(
        select(orders.c.state, func.count())
        .where(orders.c.state.in_([state.value for state in states]))
        .group_by(orders.c.state)
    )
    return {row[0]: row[1] for row in rows}


def events_of(
    connection: Connection, number: int, *, after: int = 0, limit: int = 1_000
) -> list[EventView]:
    """Return the events of an order, the first first, beyond number `after`."""
    rows: Sequence[Row[Any]] = connection.execute(
        select(order_events)
        .where(order_events.c.order_id == number, order_events.c.number > after)
        .order_by(order_events.c.number)
        .limit(limit)
    ).all()
    return [
        EventView(
            number=row.number,
            time=row.time,
            actor=row.actor,
            party=row.party,
            event=row.event,
            event_zh=Event(row.event).zh,
            state=row.state,
            detail=json.loads(row.detail),
            rules=row.rules,
            notice=row.notice,
        )
        for row in rows
    ]


def waiting_persons(connection: Connection, *, after: int, limit: int) -> list[WaitingPerson]:
    """Everybody to verify in the next orders by number, beyond `after`; `limit` counts orders."""
    rows = connection.execute(
        select(orders)
        .where(orders.c.state == OrderState.SMS.value, orders.c.id > after)
        .order_by(orders.c.id)
        .limit(limit)
    )
    return [
        WaitingPerson(
            order=order.id,
            person=place,
            name=person.name,
            phone=person.phone,
            wrong=person.wrong,
            round=person.round,
            until=order.due.at if order.due is not None else order.since,
        )
        for order in map(read_order, rows)
        for place, person in enumerate(order.people, 1)
        if person.verified_at is None
    ]


def _select(query: OrderQuery, now: int) -> Select[Any]:
    found: list[ColumnElement[bool]] = []
    if query.account is not None:
        found.append(orders.c.account == query.account)
    if query.state is not None:
        found.append(orders.c.state == query.state.value)
    if query.type is not None:
        found.append(orders.c.type == query.type.value)
    if query.target is not None:
        named = select(order_items.c.order_id).where(order_items.c.target == query.target)
        found.append(orders.c.id.in_(named))
    if query.overdue is not None:
        late = and_(orders.c.due_at.is_not(None), orders.c.due_at <= now)
        found.append(late if query.overdue else ~late)
    if query.open is not None:
        ended = orders.c.state.in_([state.value for state in END_STATES])
        found.append(~ended if query.open else ended)
    return select(orders).where(*found)


def _summary(order: Order, now: int) -> OrderSummary:
    return OrderSummary(**_summarised(order, now))


def _summarised(order: Order, now: int) -> dict[str, Any]:
    due = order.due
    return {
        "id": order.id,
        "account": order.account,
        "type": order.type,
        "type_zh": "" if order.type is None else order.type.zh,
        "state": order.state,
        "state_zh": order.state.zh,
        "subject": order.entry.subject.name or order.entry.subject.licence,
        "domains": tuple(name for item in order.entry.items for name in item.domains),
        "since": order.since,
        "due": None if due is None else _due(due),
        "overdue": due is not None and due.at <= now,
        "changed_at": order.changed_at,
        "licence": order.licence,
        "reason": order.reason,
    }


def _view(order: Order, now: int) -> OrderView:
    return OrderView(
        **_summarised(order, now),
        entry=masked(order.entry),
        made_at=order.made_at,
        made_by=order.made_by,
        submitted_at=order.submitted_at,
        decided_at=order.decided_at,
        decided_by=order.decided_by,
        faults=order.faults,
        people=tuple(
            PersonView(
                name=person.name,
                phone=mask_phone(person.phone),
                sent_at=person.sent_at,
                wrong=person.wrong,
                verified_at=person.verified_at,
            )
            for person in order.people
        ),
        opened=bool(order.opened),
        revision=order.revision,
        next=tuple(_step(event, party) for event, party in next_steps(order.state)),
    )


def _step(event: Event, party: Party) -> StepView:
    party_zh, party_en = PARTY_NAMES[party]
    return StepView(
        event=event.value,
        zh=event.zh,
        party=party.value,
        party_zh=party_zh,
        party_en=party_en,
    )


def _due(clock: Clocked) -> DueView:
    return DueView(
        at=clock.at,
        event=None if clock.event is None else clock.event.value,
        term=clock.rule.term,
        amount=clock.rule.amount,
        unit=clock.rule.unit.value,
        since=clock.rule.since,
        estimate=clock.rule.estimate,
    )
