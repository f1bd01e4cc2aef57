"""Taking a step: who may, from which state, with what effects; one transaction each."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gate.registry.commands import Grant, Role
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import clean_identifier, clean_note, clean_text
from gate.registry.operations.work import Work
from gate.registry.orders.commands import (
    ApproveOrder,
    NewOrder,
    OrderStep,
    ReportPerson,
    ResendCode,
    ReturnOrder,
    Step,
    UpdateOrder,
    VerifyPerson,
)
from gate.registry.orders.entries import OrderEntry, unmasked
from gate.registry.orders.kinds import NUMBERED, WITHOUT_SMS, OrderType
from gate.registry.orders.rule_texts import Weight
from gate.registry.orders.states import (
    END_STATES,
    HOLDING_STATES,
    Effect,
    Event,
    Move,
    OrderState,
    Party,
    WrongState,
    move,
    next_steps,
    target,
)
from gate.registry.orders.views import RuleFault
from gate.registry.workflow import effects
from gate.registry.workflow.classify import (
    canonical,
    check_subject,
    look_up,
    order_type,
    province_of,
    targets,
)
from gate.registry.workflow.facts import check_order
from gate.registry.workflow.record import (
    OPEN_ORDERS,
    Order,
    Verification,
    add_event,
    create,
    enter,
    load,
    save,
    set_items,
)
from gate.registry.workflow.sms import code_digest
from gate.settings import Sms

RESEND_SECONDS: Final = 60

PARTY_ROLES: Final[dict[Party, frozenset[Role]]] = {
    Party.OWNER: frozenset({Role.OWNER, Role.REGISTRAR, Role.ADMIN}),
    Party.REVIEWER: frozenset({Role.REVIEWER, Role.ADMIN}),
    Party.AUTHORITY: frozenset({Role.AUTHORITY, Role.ADMIN}),
    Party.PERSONS: frozenset({Role.OWNER, Role.REGISTRAR, Role.VERIFIER, Role.ADMIN}),
}
"""Who may take a party's steps."""


@dataclass(slots=True, frozen=True)
class StepTaken:
    """What a step came to: the order after it, and whether a code was right."""

    order: Order
    accepted: bool = True


def take(work: Work, command: Step) -> StepTaken:
    """Take a step in the open transaction.

    Raises RegistryError `order_unknown`, also for another account's order, `role_insufficient`,
    `grant_missing`, `order_state`, or whatever the step breaks.
    """
    if isinstance(command, NewOrder):
        return StepTaken(_create(work, command))
    assert isinstance(command, OrderStep)  # noqa: S101 - there is no other sort
    order = load(work, command.order)
    see(work, order)
    return _TAKE.get(type(command), _simple)(work, order, command)


def see(work: Work, order: Order) -> None:
    """An owner sees its own orders only. Raises RegistryError `order_unknown`."""
    if work.by.role is Role.OWNER and work.by.account != order.account:
        raise RegistryError("order_unknown", field="order", order=order.id)


def happen(
    work: Work,
    order: Order,
    event: Event,
    party: Party,
    *,
    detail: dict[str, Any] | None = None,
    licences: tuple[str, ...] = (),
    notice: bool | None = None,
) -> None:
    """Make a move of the table, with its effects, its event, and what is due then.

    Raises RegistryError for what keeps an effect from being done; nothing is changed then.
    """
    row = _row(order, event)
    detail = dict(detail or {})
    rules = ""
    for effect in row.effects:
        match effect:
            case Effect.CHECK:
                rules = _check(work, order, event)
            case Effect.HOLD:
                effects.hold(work, order)
            case Effect.RELEASE:
                effects.release(work, order)
            case Effect.SEND_CODES:
                effects.name_persons(work, order)
            case Effect.OPEN:
                effects.open_early(work, order)
            case Effect.CLOSE:
                effects.close_early(work, order)
            case Effect.FILE:
                given = effects.file(work, order, licences)
                order.licence = " ".join(given)
                detail["licences"] = given
            case Effect.TELL:
                pass
    enter(work, order, event, target(row, needs_sms=order.type not in WITHOUT_SMS))
    if row.to in END_STATES or event is Event.APPROVE:
        order.decided_at, order.decided_by = work.now, work.actor
    if event is Event.APPROVE:
        order.revision = work.head.revision + len(work.changes)
    if work.changes:
        detail["revision"] = work.head.revision + len(work.changes)
    tell = Effect.TELL in row.effects if notice is None else notice
    add_event(work, order, event, party, detail=detail, rules=rules, notice=tell)
    save(work, order)


def permit(work: Work, party: Party, grant: Grant, *, needed: Role) -> None:
    """Raise RegistryError `role_insufficient` or `grant_missing` unless the actor may."""
    by = work.by
    if by.role not in PARTY_ROLES[party]:
        raise RegistryError("role_insufficient", needed=needed, role=by.role)
    by.needs_grant(grant)


def _create(work: Work, command: NewOrder) -> Order:
    by = work.by
    permit(work, Party.OWNER, command.grant, needed=Role.OWNER)
    account = by.account if by.role is Role.OWNER else command.account
    if account is None or (command.account is not None and command.account != account):
        raise RegistryError("account_needed", field="account")
    account = clean_identifier(account, field="account")
    _one_open(work, account)
    entry = canonical(unmasked(command.entry, None))
    told = _classified(work, account, entry)
    order = create(
        work,
        account,
        entry,
        told.type,
        origin="order",
        state=OrderState.DRAFT,
        province=told.province,
    )
    set_items(work, order, told.targets)
    add_event(work, order, Event.CREATE, Party.OWNER)
    save(work, order)
    return order


def _one_open(work: Work, account: str) -> None:
    waiting = work.transaction.one(OPEN_ORDERS, account)
    if waiting:
        raise RegistryError("order_open", field="account", account=account, order=waiting[0])


class _Classified(NamedTuple):
    """What the records make of an entry."""

    type: OrderType | None
    """None for what does not name enough yet."""
    targets: list[str]
    """What to find the order by."""
    province: str | None


def _classified(work: Work, account: str, entry: OrderEntry) -> _Classified:
    records = look_up(work, account, entry)
    kind: OrderType | None
    try:
        kind = order_type(work, entry, records)
    except RegistryError as error:
        if error.code != "order_incomplete":
            raise
        kind = None
    check_subject(work, account, entry, records)
    return _Classified(kind, targets(entry, records), province_of(entry, records))


def _check(work: Work, order: Order, event: Event) -> str:
    """Check type and rules by the records of now; gives back the rules' version.

    What refuses keeps an order from the provider's desk and from passing it. Later it is put down
    with what only warns: by then the order is the authority's to judge.
    Raises RegistryError `rules_broken` with every rule that refuses.
    """
    found = check_order(work, order)
    refusing = [one for one in found if one.weight is Weight.REFUSE]
    if refusing and event in (Event.SUBMIT, Event.PASS):
        raise RegistryError(
            "rules_broken",
            field=refusing[0].field,
            faults=refusing,
            order=order.id,
            detail=Said(
                "；".join(one.zh for one in refusing), "; ".join(one.en for one in refusing)
            ),
        )
    order.faults = tuple(
        RuleFault(field=one.field, zh=one.zh, en=one.en, code=one.code)
        for one in found
        if one.weight is not Weight.NOTE
    )
    return work.policy.rulebook.version


def _update(work: Work, order: Order, command: Step) -> StepTaken:
    assert isinstance(command, UpdateOrder)  # noqa: S101 - by the table below
    _allowed(work, order, command)
    order.entry = canonical(unmasked(command.entry, order.entry))
    told = _classified(work, order.account, order.entry)
    order.type, order.province = told.type, told.province or ""
    set_items(work, order, told.targets)
    if order.state in HOLDING_STATES:
        effects.hold(work, order)
    happen(work, order, Event.UPDATE, Party.OWNER)
    return StepTaken(order)


def _simple(work: Work, order: Order, command: Step) -> StepTaken:
    assert isinstance(command, OrderStep)  # noqa: S101
    row = _allowed(work, order, command)
    if command.event is Event.SUBMIT:
        order.submitted_at, order.submitted_by = work.now, work.actor
    happen(work, order, command.event, row.party)
    return StepTaken(order)


def _return(work: Work, order: Order, command: Step) -> StepTaken:
    assert isinstance(command, ReturnOrder)  # noqa: S101
    row = _allowed(work, order, command)
    reason = clean_text(command.reason, field="reason", limit=300)
    faults = [
        RuleFault(
            field=_line(fault.field, f"faults.{place}.field"),
            zh=(said := _line(fault.fault, f"faults.{place}.fault")),
            en=said,
            suggestion=_line(fault.suggestion, f"faults.{place}.suggestion"),
        )
        for place, fault in enumerate(command.faults)
    ]
    give_back(work, order, Event.RETURN, row.party, reason, tuple(faults))
    return StepTaken(order)


def _line(text: str, field: str) -> str:
    """Return what somebody says as one line of clean text; it may be empty."""
    return clean_note(" ".join(text.split()), field=field, limit=300)


def give_back(
    work: Work, order: Order, event: Event, party: Party, reason: str, faults: tuple[RuleFault, ...]
) -> None:
    """Return an order to its owner, with what is wrong."""
    order.reason, order.faults = reason, faults
    detail = {"reason": reason, "faults": [fault.model_dump() for fault in faults]}
    happen(work, order, event, party, detail=detail)


def _approve(work: Work, order: Order, command: Step) -> StepTaken:
    assert isinstance(command, ApproveOrder)  # noqa: S101
    _allowed(work, order, command)
    if order.type in NUMBERED and not command.licences and not command.generate:
        expected = len(order.entry.items)
        raise RegistryError("licences_required", field="licences", expected=expected)
    if command.licences and command.generate:
        raise RegistryError("licences_or_generate", field="generate")
    happen(work, order, Event.APPROVE, Party.AUTHORITY, licences=command.licences)
    return StepTaken(order)


def _verify(work: Work, order: Order, command: Step) -> StepTaken:
    """Take a person's code: right, or wrong and counted; the last wrong one returns the order."""
    assert isinstance(command, VerifyPerson)  # noqa: S101
    _allowed(work, order, command)
    if work.policy.sms is not Sms.LOG:
        raise RegistryError("codes_elsewhere")
    person = _person(order, command.person)
    if person.sent_at is None:
        raise RegistryError("code_not_sent", field="person")
    if hmac.compare_digest(code_digest(person.salt, command.code), person.digest):
        _verified(work, order, command.person, how="code")
        return StepTaken(order)
    person = person.model_copy(update={"wrong": person.wrong + 1})
    _put_person(order, command.person, person)
    detail = {"person": command.person, "wrong": person.wrong}
    if person.wrong < work.policy.sms_tries:
        happen(work, order, Event.WRONG_CODE, Party.PERSONS, detail=detail)
        return StepTaken(order, accepted=False)
    said = Said(
        f"负责人{person.name}的验证码连续输错 {person.wrong} 次",
        f"{person.name} entered a wrong code {person.wrong} times",
    )
    _fail(work, order, command.person, said)
    return StepTaken(order, accepted=False)


def _report(work: Work, order: Order, command: Step) -> StepTaken:
    """Return the provider's gateway says that a person is verified, or can't be."""
    assert isinstance(command, ReportPerson)  # noqa: S101
    row = _row(order, Event.VERIFY)
    if work.by.role not in (Role.VERIFIER, Role.ADMIN):
        raise RegistryError("role_insufficient", needed=Role.VERIFIER, role=work.by.role)
    person = _person(order, command.person)
    if command.round is not None and command.round != person.round:
        raise RegistryError("round_over", field="round", order=order.id, round=person.round)
    if command.verified:
        _verified(work, order, command.person, how="gateway")
    else:
        reason = _line(command.reason, "reason") or "短信核验未通过"
        said = Said(f"负责人{person.name}：{reason}", f"{person.name}: {reason}")
        _fail(work, order, command.person, said)
    assert row.party is Party.PERSONS  # noqa: S101 - by the table
    return StepTaken(order)


def _resend(work: Work, order: Order, command: Step) -> StepTaken:
    assert isinstance(command, ResendCode)  # noqa: S101
    _allowed(work, order, command)
    if work.policy.sms is not Sms.LOG:
        raise RegistryError("codes_elsewhere")
    person = _person(order, command.person)
    # A time ahead of now was put down by a clock that was.
    if person.sent_at is not None and 0 <= work.now - person.sent_at < RESEND_SECONDS:
        left = person.sent_at + RESEND_SECONDS - work.now
        raise RegistryError("code_too_soon", field="person", seconds=left)
    again = person.model_copy(update={"wanted": True, "sent_at": None, "salt": "", "digest": ""})
    _put_person(order, command.person, again)
    save(work, order)
    return StepTaken(order)


def _verified(work: Work, order: Order, number: int, *, how: str) -> None:
    person = order.people[number - 1]
    done = person.model_copy(
        update={"verified_at": work.now, "how": how, "wanted": False, "salt": "", "digest": ""}
    )
    _put_person(order, number, done)
    happen(work, order, Event.VERIFY, Party.PERSONS, detail={"person": number, "how": how})
    if all(one.verified_at is not None for one in order.people):
        happen(work, order, Event.ALL_VERIFIED, Party.PERSONS)


def _fail(work: Work, order: Order, number: int, said: Said) -> None:
    fault = RuleFault(field=f"people.{number}", zh=said.zh, en=said.en)
    give_back(work, order, Event.SMS_FAILED, Party.PERSONS, said.zh, (fault,))


def _person(order: Order, number: int) -> Verification:
    if not 1 <= number <= len(order.people):
        raise RegistryError("person_unknown", field="person", order=order.id, person=number)
    person = order.people[number - 1]
    if person.verified_at is not None:
        raise RegistryError("person_verified", field="person")
    return person


def _put_person(order: Order, number: int, person: Verification) -> None:
    people = list(order.people)
    people[number - 1] = person
    order.people = tuple(people)


def _allowed(work: Work, order: Order, command: OrderStep) -> Move:
    row = _row(order, command.event)
    needed = {
        Party.OWNER: Role.OWNER,
        Party.PERSONS: Role.OWNER,
        Party.REVIEWER: Role.REVIEWER,
        Party.AUTHORITY: Role.AUTHORITY,
    }[row.party]
    permit(work, row.party, command.grant, needed=needed)
    return row


def _row(order: Order, event: Event) -> Move:
    try:
        return move(order.state, event)
    except WrongState as error:
        steps = next_steps(order.state)
        raise RegistryError(
            "order_state",
            field="order",
            order=order.id,
            state=Said(order.state.zh, order.state.en),
            event=Said(event.zh, event.en),
            steps=Said(
                "、".join(one.zh for one, _ in steps) or "无",
                ", ".join(one.value for one, _ in steps) or "nothing",
            ),
        ) from error


_TAKE: Final[Mapping[type[Step], Callable[[Work, Order, Step], StepTaken]]] = {
    UpdateOrder: _update,
    ReturnOrder: _return,
    ApproveOrder: _approve,
    VerifyPerson: _verify,
    ResendCode: _resend,
    ReportPerson: _report,
}
