"""Short ways to work with orders, for tests."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from gate.registry.commands import Grant, Role, SubjectKind
from gate.registry.errors import RegistryError
from gate.registry.orders.commands import (
    ApproveOrder,
    NewOrder,
    PassOrder,
    ReportPerson,
    ReturnOrder,
    Step,
    SubmitOrder,
)
from gate.registry.orders.entries import ItemEntry, OrderEntry, PersonEntry, SubjectEntry
from gate.registry.orders.kinds import Purpose
from gate.registry.orders.states import OrderState
from gate.registry.orders.views import OrderView
from gate.registry.orders.working_days import CHINA
from gate.registry.registry import Registry
from gate.registry.schema import orders
from gate.registry.tokens import Actor
from gate.registry.workflow.queries import events_of, order_view

LI = PersonEntry(name="李四", phone="13800000001")
WANG = PersonEntry(name="王五", phone="13800000002")

REVIEWER = Actor("reviewer", Role.REVIEWER)
AUTHORITY = Actor("authority", Role.AUTHORITY)
VERIFIER = Actor("sms", Role.VERIFIER)
CLERK = Actor("clerk", Role.REGISTRAR)
READER = Actor("reader", Role.READER)


def owner(account: str = "a1", *, grants: frozenset[Grant] | None = None) -> Actor:
    """Who acts for an account."""
    return Actor(f"owner of {account}", Role.OWNER, account, grants)


def subject(**more: Any) -> SubjectEntry:
    """A subject as an owner enters it."""
    given = {
        "name": "某某网络公司",
        "kind": SubjectKind.UNIT,
        "certificate": "91370000000000001X",
        "certificate_province": "鲁",
        "province": "鲁",
        "legal_representative": "张三",
        "principal": PersonEntry(name="张三", phone="13800000000"),
    }
    return SubjectEntry(**given | more)


def site(*domains: str, name: str = "某某官方商城", **more: Any) -> ItemEntry:
    """A website as an owner enters it."""
    return ItemEntry(name=name, domains=domains, **more)


def filing(*domains: str, **of_subject: Any) -> OrderEntry:
    """What an owner wants filed, one website for each domain."""
    return OrderEntry(subject=subject(**of_subject), items=tuple(site(name) for name in domains))


def change(*items: ItemEntry, purpose: Purpose = Purpose.CHANGE, **of_subject: Any) -> OrderEntry:
    """What an owner wants changed or ended."""
    named = SubjectEntry(**{"principal": LI} | of_subject)
    return OrderEntry(purpose=purpose, subject=named, items=items)


def take(registry: Registry, step: Step, actor: Actor) -> OrderView:
    """Take a step that must succeed; the order after it."""
    outcome, _ = registry.perform(step, actor=actor)
    assert outcome.application is not None
    return show(registry, outcome.application)


def refused(registry: Registry, step: Step, actor: Actor) -> RegistryError:
    """The refusal of a step, which changes nothing of the order."""
    number = getattr(step, "order", None)
    before = _row(registry, number) if number else None
    with pytest.raises(RegistryError) as caught:
        registry.perform(step, actor=actor)
    if number:
        assert _row(registry, number) == before
    return caught.value


def _row(registry: Registry, number: int) -> object:
    with registry.database.read() as connection:
        return connection.execute(select(orders).where(orders.c.id == number)).one_or_none()


def show(registry: Registry, number: int) -> OrderView:
    """An order."""
    with registry.database.read() as connection:
        return order_view(connection, number, now=registry.now())


def history(registry: Registry, number: int) -> list[str]:
    """The events of an order, by name."""
    with registry.database.read() as connection:
        return [event.event for event in events_of(connection, number)]


def draft(registry: Registry, entry: OrderEntry, account: str = "a1") -> int:
    """A new order; its number."""
    return take(registry, NewOrder(entry=entry), owner(account)).id


def submitted(registry: Registry, entry: OrderEntry, account: str = "a1") -> int:
    """An order that waits for the provider; its number."""
    number = draft(registry, entry, account)
    take(registry, SubmitOrder(order=number), owner(account))
    return number


def verify_all(registry: Registry, number: int) -> OrderView:
    """Have the gateway report everybody as verified."""
    found = show(registry, number)
    for position, person in enumerate(found.people, 1):
        if person.verified_at is None:
            found = take(
                registry, ReportPerson(order=number, person=position, verified=True), VERIFIER
            )
    return found


def at_authority(registry: Registry, entry: OrderEntry, account: str = "a1") -> int:
    """An order that waits for the authority; its number."""
    number = submitted(registry, entry, account)
    if take(registry, PassOrder(order=number), REVIEWER).state is OrderState.SMS:
        verify_all(registry, number)
    assert show(registry, number).state is OrderState.AUTHORITY_REVIEW
    return number


def done(registry: Registry, entry: OrderEntry, *licences: str, account: str = "a1") -> OrderView:
    """An order from its draft to its end."""
    number = at_authority(registry, entry, account)
    step = ApproveOrder(order=number, licences=licences, generate=not licences)
    return take(registry, step, AUTHORITY)


def returned(registry: Registry, entry: OrderEntry, account: str = "a1") -> int:
    """An order that the provider's reviewer has returned; its number."""
    number = submitted(registry, entry, account)
    take(registry, ReturnOrder(order=number, reason="材料不清晰"), REVIEWER)
    return number


def china(text: str) -> int:
    """A time in China, in Unix seconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp())


def codes_in(log: str) -> list[str]:
    """The codes that the log gateway has written."""
    return re.findall(r"code ([0-9]{6})", log)
