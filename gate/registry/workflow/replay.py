"""What changed rules would newly refuse: open orders, and filings that are on record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy import func, select

from gate.licence import ServiceKind, ServiceNumber
from gate.registry.commands import SubjectKind
from gate.registry.errors import RegistryError
from gate.registry.fields import parse_subject
from gate.registry.operations.work import Work
from gate.registry.orders.entries import ItemEntry, OrderEntry, SubjectEntry
from gate.registry.orders.kinds import OrderType
from gate.registry.orders.rule_texts import Finding, Rulebook, Weight
from gate.registry.orders.rules import Checker, Facts
from gate.registry.orders.states import END_STATES
from gate.registry.schema import domains, orders, services, subjects
from gate.registry.workflow.classify import look_up, order_type
from gate.registry.workflow.facts import facts_of
from gate.registry.workflow.record import read_order

_ROWS: Final = 1_000
_NOT_OF_FILINGS: Final = frozenset({"remark_missing", "local_telephone", "hollow_subject"})
"""Rules about what only an order has, or that a service on record can't break."""


class NewlyRefused(NamedTuple):
    """An order or a filing, and what refuses it now that did not before."""

    what: str
    findings: tuple[Finding, ...]


def replay(work: Work, changed: Rulebook) -> Iterator[NewlyRefused]:
    """Yield every open order and every filing that changed rules refuse, and those in force do not.

    Of a filing only its name, its domains and its subject are known, so rules of other fields
    find nothing there.
    """
    yield from _orders(work, changed)
    yield from _filings(work, changed)


def _orders(work: Work, changed: Rulebook) -> Iterator[NewlyRefused]:
    ended = [state.value for state in END_STATES]
    after = 0
    query = select(orders).where(orders.c.state.not_in(ended)).order_by(orders.c.id).limit(_ROWS)
    while rows := work.reading.execute(query.where(orders.c.id > after)).all():
        for row in rows:
            order = read_order(row)
            records = look_up(work, order.account, order.entry)
            try:
                kind = order_type(work, order.entry, records)
            except RegistryError:
                continue  # refused by the records, whatever the rules
            facts = facts_of(work, order.account, order.entry, records)
            new = _new(work, changed, order.entry, kind, facts)
            if new:
                yield NewlyRefused(f"order {order.id}", new)
        after = rows[-1].id


def _filings(work: Work, changed: Rulebook) -> Iterator[NewlyRefused]:
    after = 0
    columns = (
        services.c.id,
        services.c.subject_id,
        services.c.name,
        services.c.kind,
        services.c.site,
        subjects.c.licence,
        subjects.c.name.label("subject"),
        subjects.c.kind.label("subject_kind"),
        subjects.c.account,
    )
    query = (
        select(*columns)
        .join(subjects, subjects.c.id == services.c.subject_id)
        .where(services.c.cancelled_at.is_(None), subjects.c.cancelled_at.is_(None))
        .order_by(services.c.id)
        .limit(_ROWS)
    )
    while rows := work.reading.execute(query.where(services.c.id > after)).all():
        ids = [row.id for row in rows]
        named: dict[int, list[str]] = {}
        held = select(domains.c.service_id, domains.c.domain).where(domains.c.service_id.in_(ids))
        for service, domain in work.reading.execute(held):
            named.setdefault(service, []).append(domain)
        theirs = (
            select(services.c.subject_id, func.count())
            .where(
                services.c.cancelled_at.is_(None),
                services.c.subject_id.in_({row.subject_id for row in rows}),
            )
            .group_by(services.c.subject_id)
        )
        counts = dict(tuple(row) for row in work.reading.execute(theirs))
        for row in rows:
            number = parse_subject(row.licence)
            kind = ServiceKind(row.kind)
            item = ItemEntry(kind=kind, name=row.name, domains=tuple(named.get(row.id, ())))
            subject = SubjectEntry(
                name=row.subject, kind=SubjectKind(row.subject_kind), province=number.province
            )
            facts = Facts(
                account=row.account or "",
                subject_name=row.subject,
                subject_kind=subject.kind,
                province=number.province,
                services=counts[row.subject_id] - 1,  # beside this one
                known=True,
            )
            entry = OrderEntry(subject=subject, items=(item,))
            found = _new(work, changed, entry, OrderType.NEW_SERVICE_HERE, facts)
            new = tuple(one for one in found if one.code not in _NOT_OF_FILINGS)
            if new:
                yield NewlyRefused(str(ServiceNumber(number, kind, row.site)), new)
        after = rows[-1].id


def _new(
    work: Work, changed: Rulebook, entry: OrderEntry, kind: OrderType, facts: Facts
) -> tuple[Finding, ...]:
    def refusing(rulebook: Rulebook) -> list[Finding]:
        policy = work.policy
        rules = rulebook.of(facts.province)
        found = Checker(policy.limits, rules, policy.days, work.now).check(entry, kind, facts)
        return [one for one in found if one.weight is Weight.REFUSE]

    before = {(one.code, one.field) for one in refusing(work.policy.rulebook)}
    return tuple(one for one in refusing(changed) if (one.code, one.field) not in before)
