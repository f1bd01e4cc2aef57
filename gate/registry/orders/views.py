"""What the registry shows of orders: the API's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field, RootModel

from gate.net.model import Model
from gate.registry.orders.entries import OrderEntry
from gate.registry.orders.kinds import OrderType
from gate.registry.orders.states import OrderState


class RuleFault(Model):
    """One thing that is wrong with an order: which field, what, and what would be right."""

    field: str
    zh: str
    en: str
    code: str = ""
    suggestion: str = ""


class DueView(Model):
    """什么时候到期 / what is due, and by which rule. Times are Unix seconds."""

    at: int
    event: str | None = Field(description="what happens then; null if it only shows")
    term: str
    amount: int
    unit: str
    since: int
    estimate: bool = Field(description="预计 / a year on the way is not announced yet")


class StepView(Model):
    """What can be done next, and who does it."""

    event: str
    zh: str
    party: str
    party_zh: str
    party_en: str


class PersonView(Model):
    """A person to verify, without the whole telephone number."""

    name: str
    phone: str
    sent_at: int | None
    wrong: int
    verified_at: int | None


class OrderSummary(Model):
    """备案订单 / an order in a list."""

    id: int
    account: str
    type: OrderType | None
    type_zh: str
    state: OrderState
    state_zh: str
    subject: str | None
    domains: tuple[str, ...]
    since: int
    due: DueView | None
    overdue: bool
    changed_at: int
    licence: str
    reason: str


class OrderView(OrderSummary):
    """备案订单 / an order, without certificate numbers and whole telephone numbers."""

    entry: OrderEntry
    made_at: int
    made_by: str
    submitted_at: int | None
    decided_at: int | None
    decided_by: str
    faults: tuple[RuleFault, ...]
    people: tuple[PersonView, ...]
    opened: bool = Field(description="provisionally open at the gates")
    revision: int | None = Field(description="the log's revision at which it was in force")
    next: tuple[StepView, ...]


class OrderTaken(Model):
    """What a step has come to, for who may take it and may not see the order."""

    id: int
    state: OrderState
    state_zh: str


class OrderAfterStep(RootModel[OrderView | OrderTaken]):
    """The order after a step; for who may not see it, its number and state alone."""


class EventView(Model):
    """One thing that happened to an order."""

    number: int
    time: int
    actor: str
    party: str
    event: str
    event_zh: str
    state: str
    detail: dict[str, Any]
    rules: str
    notice: bool


class WaitingPerson(Model):
    """待短信核验的负责人 / a person whose verification is due."""

    order: int
    person: int
    name: str
    phone: str
    wrong: int
    round: int = Field(description="第几轮，上报时填回 / which round of the order; report it")
    until: int = Field(description="Unix seconds")


@dataclass(slots=True, frozen=True)
class OrderQuery:
    """Which orders; every part that is given must fit."""

    account: str | None = None
    state: OrderState | None = None
    type: OrderType | None = None
    target: str | None = None
    """A domain, or a licence number of a subject or service."""
    overdue: bool | None = None
    open: bool | None = None
