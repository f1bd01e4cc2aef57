"""Applications: orders that a clerk files straight to the authority, by the filing operations.

submitted ──> approved   the subject and service exist, the domains are `filed`
         └──> rejected   nothing happened, the domains are free again

They are orders as all others, born in the authority's review; their number is the application's.
An order of the workflow that waits for the authority is approved and returned by the same two
operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import select

from gate.registry.commands import Approve, FirstFiling, NewService, Reject
from gate.registry.errors import RegistryError
from gate.registry.fields import clean_text, parse_subject
from gate.registry.operations import filing
from gate.registry.operations.work import Work
from gate.registry.orders.entries import OrderEntry, of_service, of_subject
from gate.registry.orders.kinds import OrderType
from gate.registry.orders.states import Event, OrderState, Party
from gate.registry.schema import orders
from gate.registry.workflow import effects
from gate.registry.workflow.classify import is_here
from gate.registry.workflow.record import Order, add_event, create, load, save, set_items
from gate.registry.workflow.steps import happen

STATES: Final[dict[OrderState, Literal["submitted", "approved", "rejected"]]] = {
    OrderState.AUTHORITY_REVIEW: "submitted",
    OrderState.DONE: "approved",
    OrderState.RETURNED: "rejected",
    OrderState.WITHDRAWN: "rejected",
}
"""What the states of an application's order are called."""


@dataclass(slots=True, frozen=True)
class Filed:
    """What became of an application: its number, and the one given, if any."""

    application: int
    licence: str | None = None


def submit_first(work: Work, command: FirstFiling) -> Filed:
    """Take an application for a first filing; nothing is in force before its approval.

    Raises RegistryError for every rule that the application breaks already.
    """
    command = filing.clean_first(command)
    _does_not_wait(work, command.account)
    filing.check_first(work, command)
    subject = of_subject(command.subject, province=command.province, licence=None)
    entry = OrderEntry(subject=subject, items=(of_service(command.service),))
    return _submit(work, command.account, entry, OrderType.FIRST_FILING)


def submit_new(work: Work, command: NewService) -> Filed:
    """Take an application for another service of a subject filed here or elsewhere.

    Raises RegistryError for every rule that the application breaks already.
    """
    command = filing.clean_new(command)
    known = filing.check_new(work, command)
    subject = of_subject(command.subject, province=None, licence=command.licence)
    entry = OrderEntry(subject=subject, items=(of_service(command.service),))
    here = known is not None and is_here(work, known)
    kind = OrderType.NEW_SERVICE_HERE if here else OrderType.NEW_SERVICE_ELSEWHERE
    return _submit(work, command.account, entry, kind)


def approve(work: Work, command: Approve) -> Filed:
    """Return the authority approves: the domains of the application become `filed`.

    Raises RegistryError `application_unknown`, `application_decided`, or a rule that was broken
    since the application was made.
    """
    order = _open(work, command.application)
    if command.licence is None and not command.generate:
        raise RegistryError("licence_required", field="licence")
    if order.origin == "operation":
        _approve_application(work, order, command.licence)
    else:
        licences = () if command.licence is None else (command.licence,)
        happen(work, order, Event.APPROVE, Party.AUTHORITY, licences=licences)
    return Filed(command.application, order.licence)


def reject(work: Work, command: Reject) -> Filed:
    """Return the authority rejects; raises `application_unknown` or `application_decided`.

    An application ends, and an order of the workflow goes back to its owner.
    """
    order = _open(work, command.application)
    order.reason = clean_text(command.reason, field="reason")
    detail = {"reason": order.reason}
    direct = order.origin == "operation"
    notice = False if direct else None
    happen(work, order, Event.RETURN, Party.AUTHORITY, detail=detail, notice=notice)
    if direct:
        happen(work, order, Event.WITHDRAW, Party.AUTHORITY)
    return Filed(command.application)


def _approve_application(work: Work, order: Order, licence: str | None) -> None:
    effects.release(work, order)
    if order.type is OrderType.FIRST_FILING:
        service = filing.file_first(work, effects.first_filing(order), licence)
    else:
        item, number = order.entry.items[0], order.entry.subject.licence
        service = filing.file_new(work, effects.new_service(order, item, number or ""), licence)
    order.state, order.since, order.clocks = OrderState.DONE, work.now, ()
    order.licence = str(service.number)
    order.decided_at, order.decided_by = work.now, work.actor
    order.revision = work.head.revision + len(work.changes)
    detail = {"licences": [order.licence], "revision": order.revision}
    add_event(work, order, Event.APPROVE, Party.AUTHORITY, detail=detail)
    save(work, order)


def _submit(work: Work, account: str, entry: OrderEntry, kind: OrderType) -> Filed:
    subject = entry.subject.licence
    order = create(
        work,
        account,
        entry,
        kind,
        origin="operation",
        state=OrderState.AUTHORITY_REVIEW,
        province=parse_subject(subject).province if subject else entry.subject.province,
    )
    order.submitted_at, order.submitted_by = work.now, work.actor
    effects.hold(work, order)
    set_items(work, order, [*entry.items[0].domains, *([subject] if subject else [])])
    add_event(work, order, Event.SUBMIT, Party.REVIEWER, detail={"direct": True})
    save(work, order)
    return Filed(order.id)


def _open(work: Work, application: int) -> Order:
    try:
        order = load(work, application)
    except RegistryError as error:
        raise RegistryError(
            "application_unknown", field="application", application=application
        ) from error
    if order.state is not OrderState.AUTHORITY_REVIEW:
        raise RegistryError(
            "application_decided",
            field="application",
            application=application,
            state=STATES.get(order.state, order.state.value),
        )
    return order


def _does_not_wait(work: Work, account: str) -> None:
    """An account has one first filing at a time. Raises RegistryError `account_pending`."""
    waiting = work.reading.execute(
        select(orders.c.id).where(
            orders.c.account == account,
            orders.c.type == OrderType.FIRST_FILING.value,
            orders.c.state == OrderState.AUTHORITY_REVIEW.value,
        )
    ).scalar()
    if waiting is not None:
        raise RegistryError(
            "account_pending", field="account", account=account, application=waiting
        )
