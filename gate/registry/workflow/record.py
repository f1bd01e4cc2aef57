"""An order's row and its events: reading, making, and writing what a step has changed.

Everything here works inside the caller's transaction, with the log's head locked, so that one
order takes one step at a time, on however many registries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import Row

from gate.net.model import Model
from gate.registry.errors import RegistryError
from gate.registry.operations.transaction import Lookup
from gate.registry.operations.work import Work
from gate.registry.orders.clocks import Due, Rule, dues
from gate.registry.orders.entries import OrderEntry
from gate.registry.orders.kinds import OrderType
from gate.registry.orders.states import END_STATES, RESTARTS, Event, OrderState, Party
from gate.registry.orders.views import RuleFault
from gate.registry.schema import notices, order_events, orders


class Clocked(Model):
    """One thing that is due, and when it happened."""

    at: int
    event: Event | None = None
    rule: Rule
    happened_at: int | None = None


class Verification(Model):
    """One person's verification by SMS, in the round that is under way or was last."""

    name: str
    phone: str
    wanted: bool = False
    """A code is to be made and sent."""
    salt: str = ""
    digest: str = ""
    sent_at: int | None = None
    wrong: int = 0
    verified_at: int | None = None
    how: str = ""
    round: int = 0
    """The event that began it; 0 for one that began before rounds had numbers."""


_CLOCKS: Final = TypeAdapter(tuple[Clocked, ...])
_PEOPLE: Final = TypeAdapter(tuple[Verification, ...])
_FAULTS: Final = TypeAdapter(tuple[RuleFault, ...])


@dataclass(slots=True)
class Order:
    """One order, as its row has it."""

    id: int
    account: str
    origin: str
    type: OrderType | None
    state: OrderState
    entry: OrderEntry
    since: int
    made_at: int
    made_by: str
    changed_at: int
    province: str = ""
    people: tuple[Verification, ...] = ()
    clocks: tuple[Clocked, ...] = ()
    submitted_at: int | None = None
    submitted_by: str = ""
    decided_at: int | None = None
    decided_by: str = ""
    reason: str = ""
    faults: tuple[RuleFault, ...] = ()
    licence: str = ""
    opened: dict[str, Any] = field(default_factory=dict)
    events: int = 0
    revision: int | None = None

    @property
    def due(self) -> Clocked | None:
        """What people are told is due next."""
        return next((c for c in self.clocks if c.event is not Event.REMIND), None)

    @property
    def wants_codes(self) -> bool:
        """Whether somebody waits for a code."""
        return self.state is OrderState.SMS and any(one.wanted for one in self.people)

    @property
    def timer(self) -> Clocked | None:
        """What the sweep has to do next."""
        return next((c for c in self.clocks if c.event is not None and c.happened_at is None), None)


def read_order(row: Row[Any]) -> Order:
    """Return an order from its row."""
    return Order(
        id=row.id,
        account=row.account,
        origin=row.origin,
        type=None if row.type is None else OrderType(row.type),
        state=OrderState(row.state),
        entry=OrderEntry.model_validate_json(row.entry),
        since=row.since,
        made_at=row.made_at,
        made_by=row.made_by,
        changed_at=row.changed_at,
        province=row.province,
        people=_PEOPLE.validate_json(row.people),
        clocks=_CLOCKS.validate_json(row.clocks),
        submitted_at=row.submitted_at,
        submitted_by=row.submitted_by,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        reason=row.reason,
        faults=_FAULTS.validate_json(row.faults),
        licence=row.licence,
        opened=json.loads(row.opened) if row.opened else {},
        events=row.events,
        revision=row.revision,
    )


ORDER: Final = Lookup(orders.c.id, orders, read_order)
OPEN_ORDERS: Final[Lookup[tuple[int, ...]]] = Lookup(
    orders.c.account,
    (orders.c.id,),
    lambda row: (int(row.id),),
    orders.c.state.not_in([state.value for state in END_STATES]),
    joined=True,
)
"""An account's orders that are not at their end."""


def load(work: Work, number: int) -> Order:
    """Return one order. Raises RegistryError `order_unknown`."""
    found = work.transaction.one(ORDER, number)
    if found is None:
        raise RegistryError("order_unknown", field="order", order=number)
    return copy(found)  # what was read must not change with a step that may fail


def create(
    work: Work,
    account: str,
    entry: OrderEntry,
    kind: OrderType | None,
    *,
    origin: str,
    state: OrderState,
    province: str | None,
) -> Order:
    """Return a new order's row; its first event is the caller's."""
    order = Order(
        id=work.new_id(orders),
        account=account,
        origin=origin,
        type=kind,
        state=state,
        entry=entry,
        since=work.now,
        made_at=work.now,
        made_by=work.actor,
        changed_at=work.now,
        province=province or "",
    )
    set_clocks(work, order)
    _put(work, order, new=True)
    return order


def save(work: Work, order: Order) -> None:
    """Write an order's row."""
    order.changed_at = work.now
    _put(work, order, new=False)


def enter(work: Work, order: Order, event: Event, to: OrderState) -> None:
    """Bring an order into a state, and set what is due there."""
    if to is order.state and (order.state, event) not in RESTARTS:
        return
    order.state, order.since = to, work.now
    set_clocks(work, order)


def set_clocks(work: Work, order: Order) -> None:
    """What is due in the order's state from `since` on."""
    order.clocks = tuple(map(_clocked, _dues(work, order)))


def _dues(work: Work, order: Order) -> list[Due]:
    return dues(order.state, order.since, work.policy.terms_of(order.province), work.policy.days)


def _clocked(due: Due) -> Clocked:
    return Clocked(at=due.at, event=due.event, rule=due.rule)


def add_event(
    work: Work,
    order: Order,
    event: Event,
    party: Party,
    *,
    detail: dict[str, Any] | None = None,
    rules: str = "",
    notice: bool = False,
    actor: str | None = None,
) -> int:
    """Put down what happened, in the order's present state; gives back its number."""
    order.events += 1
    found = dict(detail or {})
    due = order.due
    if due is not None and due.happened_at is None:
        found["due"] = {"at": due.at, "rule": due.rule.model_dump(mode="json", exclude_none=True)}
    work.transaction.insert(
        order_events,
        {
            "order_id": order.id,
            "number": order.events,
            "time": work.now,
            "actor": work.actor if actor is None else actor,
            "party": party.value,
            "event": event.value,
            "state": order.state.value,
            "detail": json.dumps(found, ensure_ascii=False),
            "rules": rules,
            "notice": notice,
        },
    )
    if notice:
        work.transaction.insert(
            notices,
            *(
                {
                    "order_id": order.id,
                    "number": order.events,
                    "channel": channel,
                    "next_at": work.now,
                    "tries": 0,
                    "error": "",
                }
                for channel in work.policy.channels
            ),
        )
    return order.events


def set_items(work: Work, order: Order, targets: Iterable[str]) -> None:
    """What an order can be found by: its domains and licence numbers."""
    rows = [{"order_id": order.id, "target": target} for target in dict.fromkeys(targets)]
    work.transaction.set_items(order.id, rows)


def _put(work: Work, order: Order, *, new: bool) -> None:
    transaction = work.transaction
    if new or order.state in END_STATES:
        open_now: tuple[int, ...] = transaction.one(OPEN_ORDERS, order.account) or ()
        others = set(open_now) - {order.id}
        still = () if order.state in END_STATES else (order.id,)
        transaction.know(OPEN_ORDERS, order.account, (*sorted(others), *still))
    transaction.put_order(order.id, lambda: _values(order), new=new)
    transaction.know(ORDER, order.id, order)


def _values(order: Order) -> dict[str, Any]:
    due, timer = order.due, order.timer
    return {
        "account": order.account,
        "origin": order.origin,
        "type": None if order.type is None else order.type.value,
        "state": order.state.value,
        "province": order.province,
        "entry": order.entry.model_dump_json(exclude_defaults=True),
        "people": _PEOPLE.dump_json(order.people, exclude_defaults=True).decode(),
        "clocks": _CLOCKS.dump_json(order.clocks, exclude_none=True).decode(),
        "timer_at": 0 if order.wants_codes else None if timer is None else timer.at,
        "due_at": None if due is None else due.at,
        "due_known_to": None if due is None else due.rule.known_to,
        "since": order.since,
        "made_at": order.made_at,
        "made_by": order.made_by,
        "changed_at": order.changed_at,
        "submitted_at": order.submitted_at,
        "submitted_by": order.submitted_by,
        "decided_at": order.decided_at,
        "decided_by": order.decided_by,
        "reason": order.reason,
        "faults": _FAULTS.dump_json(order.faults).decode(),
        "licence": order.licence,
        "opened": json.dumps(order.opened) if order.opened else "",
        "events": order.events,
        "revision": order.revision,
    }
