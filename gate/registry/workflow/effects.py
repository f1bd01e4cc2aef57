"""What the moves of the table do: holding domains, opening early, filing when it is done."""

from __future__ import annotations

from sqlalchemy import update

from gate.registry.commands import (
    AccessFiling,
    CancelAccess,
    CancelService,
    CancelSubject,
    ChangeService,
    ChangeSubject,
    FirstFiling,
    NewService,
)
from gate.registry.errors import RegistryError
from gate.registry.operations import cancelling, changing, checks, filing
from gate.registry.operations.work import Work
from gate.registry.orders.entries import (
    ItemEntry,
    persons,
    service_data,
    subject_data,
)
from gate.registry.orders.kinds import ACCESSES, NUMBERED, WITHOUT_SMS, OrderType
from gate.registry.schema import subjects
from gate.registry.workflow.classify import held_domains
from gate.registry.workflow.record import Order, Verification
from gate.settings import Sms


def hold(work: Work, order: Order) -> None:
    """Keep the order's domains for it. Raises RegistryError `domain_pending` or `domain_filed`."""
    release(work, order)
    names = held_domains(order.entry)
    if order.type in ACCESSES:
        _not_held(work, names, order.id)
    else:
        held = set(_on_record_already(work, order))
        checks.domains_are_free(work, [n for n in names if n not in held], order=order.id)
    work.transaction.hold(order.id, names)


def release(work: Work, order: Order) -> None:
    """Let the order's domains go."""
    work.transaction.release(order.id)


def name_persons(work: Work, order: Order) -> None:
    """Begin a round of verification with everybody whom the order names."""
    wanted = work.policy.sms is Sms.LOG and order.type not in WITHOUT_SMS
    order.people = tuple(
        # Its own event is the next one.
        Verification(name=person.name, phone=person.phone, wanted=wanted, round=order.events + 1)
        for person in persons(order.entry)
    )


def open_early(work: Work, order: Order) -> None:
    """接入备案 with `access_opens: provider_pass`: the names pass from now on, provisionally."""
    if order.type not in ACCESSES or not work.policy.access_opens_at_pass:
        return
    before = work.subject_by_account(order.account)
    for item in order.entry.items:
        changing.file_access(work, _access(work, order, item))
    order.opened = {"bound": before is None}


def close_early(work: Work, order: Order) -> None:
    """Undo `open_early`; what a clerk has cancelled in between is left alone."""
    if not order.opened:
        return
    subject = work.subject_by_account(order.account)
    for item in order.entry.items:
        service = work.service_by_domain(item.domains[0])
        if service is not None and work.accessed(service):
            changing.cancel_access(work, CancelAccess(domain=item.domains[0]))
    if order.opened.get("bound") and subject is not None:
        work.connection.execute(
            update(subjects).where(subjects.c.id == subject.id).values(account=None)
        )
    order.opened = {}


def file(work: Work, order: Order, licences: tuple[str, ...]) -> list[str]:
    """Carry out what was asked for; gives back the numbers of the services, or the subject.

    `licences` are the numbers that the authority gives to the new services, one for each; with
    none, where new services are asked for, the next free ones are made up.
    Raises RegistryError for a rule that was broken since the order was made.
    """
    entry, kind = order.entry, order.type
    if licences and (kind not in NUMBERED or len(licences) != len(entry.items)):
        expected = len(entry.items) if kind in NUMBERED else 0
        raise RegistryError(
            "licences_count", field="licences", expected=expected, given=len(licences)
        )
    given = licences or (None,) * len(entry.items)
    match kind:
        case OrderType.FIRST_FILING:
            return _file_first(work, order, given)
        case OrderType.NEW_SERVICE_HERE | OrderType.NEW_SERVICE_ELSEWHERE:
            subject = work.subject_by_account(order.account)
            number = str(subject.number) if subject is not None else entry.subject.licence
            return [
                _file_new(work, order, item, number or "", licence)
                for item, licence in zip(entry.items, given, strict=True)
            ]
        case OrderType.ACCESS_FILING | OrderType.ACCESS_SITE:
            return [_file_access(work, order, item) for item in entry.items]
        case OrderType.CHANGE_FILING:
            command = ChangeSubject(
                licence=_own_number(work, order),
                name=entry.subject.name,
                certificate=entry.subject.certificate,
            )
            return [changing.change_subject(work, command)]
        case OrderType.CHANGE_SERVICE:
            return [
                changing.change_service(
                    work, ChangeService(**_named(item), name=item.name, domains=item.new_domains)
                )
                for item in entry.items
            ]
        case OrderType.CANCEL_SUBJECT:
            command_ = CancelSubject(licence=_own_number(work, order))
            return [cancelling.cancel_subject(work, command_)]
        case OrderType.CANCEL_SERVICE:
            return [
                cancelling.cancel_service(work, CancelService(**_named(item)))
                for item in entry.items
            ]
        case OrderType.CANCEL_ACCESS:
            return [
                changing.cancel_access(work, CancelAccess(**_named(item))) for item in entry.items
            ]
        case None:
            raise RegistryError("order_incomplete", field="items")


def first_filing(order: Order) -> FirstFiling:
    """Return what a first filing asks for, as an operation.

    Raises RegistryError `order_incomplete`.
    """
    entry = order.entry
    subject = subject_data(entry.subject)
    if subject is None:
        raise RegistryError("order_incomplete", field="subject.name")
    if entry.subject.province is None:
        raise RegistryError("order_incomplete", field="subject.province")
    return FirstFiling(
        account=order.account,
        province=entry.subject.province,
        subject=subject,
        service=service_data(entry.items[0]),
    )


def new_service(order: Order, item: ItemEntry, licence: str) -> NewService:
    """Return what a new service asks for, as an operation."""
    return NewService(
        account=order.account,
        licence=licence,
        subject=subject_data(order.entry.subject),
        service=service_data(item),
    )


def _file_first(work: Work, order: Order, given: tuple[str | None, ...]) -> list[str]:
    request = filing.clean_first(first_filing(order))
    service = filing.file_first(work, request, given[0], order=order.id)
    numbers = [str(service.number)]
    for item, licence in zip(order.entry.items[1:], given[1:], strict=True):
        numbers.append(_file_new(work, order, item, str(service.subject.number), licence))
    return numbers


def _file_new(work: Work, order: Order, item: ItemEntry, subject: str, licence: str | None) -> str:
    request = filing.clean_new(new_service(order, item, subject))
    return str(filing.file_new(work, request, licence, order=order.id).number)


def _file_access(work: Work, order: Order, item: ItemEntry) -> str:
    command = _access(work, order, item)
    service = work.service_by_domain(command.domain)
    if order.opened and service is not None and work.accessed(service):
        return str(service.number)  # since the provider's pass
    return changing.file_access(work, command)


def _access(work: Work, order: Order, item: ItemEntry) -> AccessFiling:
    service = work.service_by_domain(item.domains[0])
    if service is None:
        raise RegistryError("domain_unknown", field="domain", domain=item.domains[0])
    licence = item.licence or str(service.number)
    return AccessFiling(account=order.account, domain=item.domains[0], licence=licence)


def _own_number(work: Work, order: Order) -> str:
    subject = work.subject_by_account(order.account)
    if subject is None:
        raise RegistryError("not_filed_here", field="subject", what=order.account)
    return str(subject.number)


def _named(item: ItemEntry) -> dict[str, str]:
    if item.licence is not None:
        return {"licence": item.licence}
    return {"domain": item.domains[0]}


def _on_record_already(work: Work, order: Order) -> list[str]:
    """Return domains that a service to be changed has already: they need not be free."""
    if order.type is not OrderType.CHANGE_SERVICE:
        return []
    found: list[str] = []
    for item in order.entry.items:
        service = checks.known_service(work, item.licence, (item.domains or ("",))[0])
        found += work.domains_of(service)
    return found


def _not_held(work: Work, names: list[str], order: int) -> None:
    for position, name in enumerate(names):
        checks.not_held(work, name, field=f"items.{position}.domains", order=order)
