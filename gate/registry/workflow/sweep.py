"""The sweep: what the clocks do to orders, once each, however late it comes.

Every look is one short transaction with the log's head locked, so two registries on one database
take turns, and each finds what the other has left. An order's clocks stand in its row with the
rule that made them; a clock that has run is marked there, in the transaction of its move.

A registry that was down for weeks finds many clocks of one order run out. They run in the order
of their times, each once; a reminder that a later clock has overtaken is put down, and not sent.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from gate.registry.commands import Role
from gate.registry.errors import Said
from gate.registry.operations.work import Work
from gate.registry.orders.clocks import reckon
from gate.registry.orders.states import Event, Party
from gate.registry.orders.views import RuleFault
from gate.registry.schema import orders
from gate.registry.tokens import Actor
from gate.registry.workflow.ahead import read_orders
from gate.registry.workflow.record import Clocked, Order, add_event, load, save
from gate.registry.workflow.sms import SmsCode, make_codes
from gate.registry.workflow.steps import give_back, happen

_log = logging.getLogger(__name__)

CLOCK: Final = Actor("clock", Role.ADMIN)
GROUP: Final = 500
"""Orders of one transaction."""


@dataclass(slots=True, frozen=True)
class Swept:
    """What one look came to: orders that moved, codes to send, and whether there may be more."""

    moved: int
    codes: tuple[SmsCode, ...]
    more: bool


def sweep(work: Work, failed: list[int]) -> Swept:
    """Do what is due, for some orders, in the open transaction.

    An order that can't be moved is told of in the log, added to `failed`, and left for the next
    sweep; it keeps no other one waiting.
    """
    query = select(orders.c.id).where(orders.c.timer_at <= work.now)
    if failed:
        query = query.where(orders.c.id.not_in(failed))
    due = work.reading.execute(query.order_by(orders.c.timer_at).limit(GROUP)).scalars().all()
    read_orders(work.transaction, due)
    moved = 0
    codes: list[SmsCode] = []
    for number in due:
        changes = len(work.changes)
        try:
            with work.transaction.part():
                order = load(work, number)
                made = _make_codes(work, order)
                moved += _run(work, order)
            codes += made
        except Exception as error:
            if work.transaction.is_lost(error):
                raise
            del work.changes[changes:]
            _log.exception("order %d could not be moved by its clock", number)
            failed.append(number)
    reckoned = _reckon_anew(work)
    return Swept(moved, tuple(codes), more=GROUP in (len(due), reckoned))


def _reckon_anew(work: Work) -> int:
    """Compute due times anew that were estimates, and whose year has been announced since.

    Gives back how many orders of this look have a better time now.
    """
    query = select(orders.c.id).where(orders.c.due_known_to < work.policy.days.known_to)
    changed = 0
    numbers = work.reading.execute(query.limit(GROUP)).scalars().all()
    read_orders(work.transaction, numbers)
    for number in numbers:
        with work.transaction.part():
            order = load(work, number)
            order.clocks = tuple(_reckoned(work, order, clock) for clock in order.clocks)
            add_event(work, order, Event.RECKON, Party.CLOCK)
            save(work, order)
        changed += 1
    return changed


def _make_codes(work: Work, order: Order) -> list[SmsCode]:
    if not order.wants_codes:
        return []
    made = make_codes(order, work.now)
    save(work, order)
    return made


def _run(work: Work, order: Order) -> bool:
    """Run every clock of an order whose time has come, in order of time; tell whether one did."""
    ran = False
    while (clock := order.timer) is not None and clock.at <= work.now:
        overtaken = _mark(work, order, clock)
        detail = {"late": work.now - clock.at} if work.now - clock.at > 3_600 else {}
        if clock.event is Event.SMS_EXPIRED:
            said = Said("短信核验超过时限", "the persons did not verify themselves in time")
            fault = RuleFault(field="people", zh=said.zh, en=said.en)
            give_back(work, order, Event.SMS_EXPIRED, Party.CLOCK, said.zh, (fault,))
        elif clock.event is not None:
            day = {"day": clock.rule.amount} if clock.event is Event.REMIND else {}
            notice = False if overtaken else None
            happen(work, order, clock.event, Party.CLOCK, detail=detail | day, notice=notice)
        ran = True
    return ran


def _mark(work: Work, order: Order, clock: Clocked) -> bool:
    """Put down that a clock has run; tell whether it is a reminder that another has overtaken."""
    order.clocks = tuple(
        one.model_copy(update={"happened_at": work.now}) if one is clock else one
        for one in order.clocks
    )
    following = order.timer
    return clock.event is Event.REMIND and following is not None and following.at <= work.now


def _reckoned(work: Work, order: Order, clock: Clocked) -> Clocked:
    if clock.happened_at is not None or clock.rule.known_to is None:
        return clock
    terms = work.policy.terms_of(order.province)
    due = reckon(clock.rule, clock.event, terms, work.policy.days)
    return clock.model_copy(update={"at": due.at, "rule": due.rule})
