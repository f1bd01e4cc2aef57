"""Which type an order is, by the records as they are, and what it is about in canonical form."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from gate.registry.errors import RegistryError, Said
from gate.registry.fields import (
    check_count,
    check_province,
    clean_note,
    clean_text,
    distinct_domains,
    fileable_domain,
    parse_service,
    parse_subject,
)
from gate.registry.operations.work import Service, Subject, Work
from gate.registry.orders.entries import (
    MAX_NOTE,
    ItemEntry,
    OrderEntry,
    PersonEntry,
    SubjectEntry,
)
from gate.registry.orders.kinds import (
    OTHER_TYPES,
    NoType,
    OnRecord,
    OrderType,
    Purpose,
    filing_type,
    single_type,
)
from gate.registry.schema import accesses, services, subjects


@dataclass(slots=True, frozen=True)
class Records:
    """What is on record of an order's subject and services."""

    subject: Subject | None
    services: tuple[Service | None, ...]
    """For each item, the service that it means or whose domain it asks for."""


def canonical(entry: OrderEntry) -> OrderEntry:
    """Return the entry with its names, numbers and domains in canonical form.

    Raises RegistryError for the first that can't be one, and for a domain that is named twice.
    """
    items = tuple(
        _canonical_item(item, f"items.{position}") for position, item in enumerate(entry.items)
    )
    found = entry.model_copy(
        update={
            "subject": _canonical_subject(entry.subject),
            "items": items,
            "remark": clean_note(entry.remark, field="remark", limit=MAX_NOTE),
        }
    )
    _each_once(found)
    return found


def _each_once(entry: OrderEntry) -> None:
    """Raise RegistryError `domain_repeated` for a domain that two items ask for."""
    seen: set[str] = set()
    names = "new_domains" if entry.purpose is Purpose.CHANGE else "domains"
    for position, item in enumerate(entry.items):
        for place, domain in enumerate(getattr(item, names) or ()):
            if domain in seen:
                field = f"items.{position}.{names}.{place}"
                raise RegistryError("domain_repeated", field=field, domain=domain)
            seen.add(domain)


def look_up(work: Work, account: str, entry: OrderEntry) -> Records:
    """Return the records that an entry in canonical form is about."""
    subject = work.subject_by_account(account)
    if subject is None and entry.subject.licence is not None:
        subject = work.subject_by_number(parse_subject(entry.subject.licence))
    if subject is None and entry.subject.certificate is not None:
        subject = work.subject_by_certificate(entry.subject.certificate)
    return Records(subject, tuple(_service(work, item) for item in entry.items))


def order_type(work: Work, entry: OrderEntry, records: Records) -> OrderType:
    """Return the type of an order.

    Raises RegistryError `domain_conflict`, `already_here`, `not_filed_here`, `order_mixes_types`,
    `service_repeated`, `licence_differs`, or `order_incomplete` for what it has to name first.
    """
    if entry.purpose is not Purpose.FILE:
        return _type_of_what_is_here(work, entry, records)
    if not entry.items:
        raise RegistryError("order_incomplete", field="items")
    known = records.subject is not None or entry.subject.licence is not None
    accessed = records.subject is not None and is_here(work, records.subject)
    types: list[OrderType | NoType] = []
    for position, (item, service) in enumerate(zip(entry.items, records.services, strict=True)):
        field = f"items.{position}.domains"
        if not item.domains:
            raise RegistryError("order_incomplete", field=field)
        _service_once(records, position)
        if service is not None:
            _one_service(work, item, service, f"items.{position}")
        found = filing_type(
            subject_on_record=known,
            subject_accessed=accessed,
            domain=_on_record(work, service, records.subject),
        )
        if isinstance(found, NoType) and service is not None:
            raise RegistryError(
                found.value, field=field, domain=item.domains[0], licence=service.number
            )
        types.append(found)
    return _single(types)


def is_here(work: Work, subject: Subject) -> bool:
    """Return whether a subject is filed with this provider.

    It has an account, or an access here.
    """
    if subject.account is not None:
        return True
    query = (
        select(accesses.c.service_id)
        .join(services, services.c.id == accesses.c.service_id)
        .where(
            services.c.subject_id == subject.id,
            services.c.cancelled_at.is_(None),
            accesses.c.provider == work.provider,
        )
    )
    return work.reading.execute(query.limit(1)).first() is not None


def check_subject(work: Work, account: str, entry: OrderEntry, records: Records) -> None:
    """The subject is the account's, or nobody's and named as it is on record.

    Raises RegistryError `subject_differs` or `subject_other_account`.
    """
    subject = records.subject
    if subject is None or subject.account == account:
        return
    if subject.account is not None:
        raise RegistryError("subject_other_account", field="subject", licence=subject.number)
    if not _may_claim(work, subject, entry.subject):
        raise RegistryError("subject_differs", field="subject", licence=subject.number)


def _may_claim(work: Work, subject: Subject, entry: SubjectEntry) -> bool:
    """Return whether an entry names a subject of no account as it is on record."""
    row = work.reading.execute(
        select(subjects.c.name, subjects.c.certificate).where(subjects.c.id == subject.id)
    ).one()
    if entry.name is not None and entry.name != row.name:
        return False
    return row.certificate is None or entry.certificate == row.certificate


def province_of(entry: OrderEntry, records: Records) -> str | None:
    """Return the province whose authority an order is for, by the number if there is one."""
    if records.subject is not None:
        return records.subject.number.province
    if entry.subject.licence is not None:
        return parse_subject(entry.subject.licence).province
    return entry.subject.province


def targets(entry: OrderEntry, records: Records) -> list[str]:
    """Return what an order can be found by."""
    found: list[str] = []
    for item, service in zip(entry.items, records.services, strict=True):
        found += item.domains
        found += item.new_domains or ()
        if service is not None:
            found.append(str(service.number))
    if records.subject is not None:
        found.append(str(records.subject.number))
    elif entry.subject.licence is not None:
        found.append(entry.subject.licence)
    return found


def held_domains(entry: OrderEntry) -> list[str]:
    """Return the domains that nobody else may ask for while the order is open."""
    if entry.purpose is Purpose.FILE:
        return [domain for item in entry.items for domain in item.domains]
    if entry.purpose is Purpose.CHANGE:
        return [domain for item in entry.items for domain in item.new_domains or ()]
    return []


def _type_of_what_is_here(work: Work, entry: OrderEntry, records: Records) -> OrderType:
    subject = records.subject
    if subject is None or not is_here(work, subject):
        named = entry.subject.licence or entry.subject.name
        what: str | Said = named or Said("主体", "the subject")
        raise RegistryError("not_filed_here", field="subject", what=what)
    for position, (item, service) in enumerate(zip(entry.items, records.services, strict=True)):
        what = item.licence or (item.domains[0] if item.domains else "")
        if not what:
            raise RegistryError("order_incomplete", field=f"items.{position}.licence")
        if service is None or service.subject.id != subject.id or not work.accessed(service):
            raise RegistryError("not_filed_here", field=f"items.{position}", what=what)
        _one_service(work, item, service, f"items.{position}")
        if item.new_domains is not None:
            check_count(len(item.new_domains), service.kind, field=f"items.{position}.new_domains")
        _service_once(records, position)
    changes_subject = entry.purpose is Purpose.CHANGE and _changes_subject(entry.subject)
    if changes_subject and entry.items:
        raise RegistryError("order_mixes_types", field="items")
    found = OTHER_TYPES.get((entry.purpose, bool(entry.items)))
    if found is None or (found is OrderType.CHANGE_FILING and not changes_subject):
        raise RegistryError("order_incomplete", field="items")
    return found


def _service_once(records: Records, position: int) -> None:
    """Raise RegistryError `service_repeated` for a service that an item before means, too."""
    service = records.services[position]
    if service is not None and service in records.services[:position]:
        field = f"items.{position}"
        raise RegistryError("service_repeated", field=field, licence=service.number)


def _one_service(work: Work, item: ItemEntry, service: Service, field: str) -> None:
    """An item means one service by all that it names.

    Raises RegistryError `licence_differs` for a domain or a number that is not the service's.
    """
    for place, domain in enumerate(item.domains):
        found = work.service_by_domain(domain)
        if found is None or found.id != service.id:
            where = f"{field}.domains.{place}"
            raise RegistryError(
                "licence_differs", field=where, domain=domain, licence=service.number
            )
    if item.licence is not None and parse_service(item.licence) != service.number:
        where, domain = f"{field}.licence", item.domains[0]
        raise RegistryError("licence_differs", field=where, domain=domain, licence=item.licence)


def _changes_subject(entry: SubjectEntry) -> bool:
    return entry.name is not None or entry.certificate is not None


def _on_record(work: Work, service: Service | None, subject: Subject | None) -> OnRecord:
    if service is None:
        return OnRecord.NO
    if subject is None or service.subject.id != subject.id:
        return OnRecord.OTHER_SUBJECT
    return OnRecord.HERE if work.accessed(service) else OnRecord.SAME_SUBJECT


def _service(work: Work, item: ItemEntry) -> Service | None:
    for domain in item.domains:
        found = work.service_by_domain(domain)
        if found is not None:
            return found
    if item.licence is not None:
        return work.service_by_number(parse_service(item.licence))
    return None


def _single(types: list[OrderType | NoType]) -> OrderType:
    found = single_type(types)
    if isinstance(found, NoType):
        raise RegistryError(found.value, field="items")
    return found


def _canonical_subject(entry: SubjectEntry) -> SubjectEntry:
    update: dict[str, object] = {}
    for name, limit in (("name", 200), ("certificate", 64), ("legal_representative", 200)):
        text = getattr(entry, name)
        if text is not None:
            update[name] = clean_text(text, field=f"subject.{name}", limit=limit)
    for name in ("province", "certificate_province"):
        text = getattr(entry, name)
        if text is not None:
            update[name] = check_province(text, field=f"subject.{name}")
    if entry.licence is not None:
        update["licence"] = str(parse_subject(entry.licence, field="subject.licence"))
    if entry.principal is not None:
        update["principal"] = _canonical_person(entry.principal, "subject.principal")
    return entry.model_copy(update=update)


def _canonical_person(person: PersonEntry, field: str) -> PersonEntry:
    return person.model_copy(update={"name": clean_text(person.name, field=f"{field}.name")})


def _canonical_item(item: ItemEntry, field: str) -> ItemEntry:
    update: dict[str, object] = {
        "matters": tuple(
            clean_text(matter, field=f"{field}.matters.{position}")
            for position, matter in enumerate(item.matters)
        ),
        "remark": clean_note(item.remark, field=f"{field}.remark", limit=MAX_NOTE),
    }
    for name in ("name", "approval"):
        text = getattr(item, name)
        if text is not None:
            update[name] = clean_text(text, field=f"{field}.{name}")
    if item.principal is not None:
        update["principal"] = _canonical_person(item.principal, f"{field}.principal")
    if item.domains:
        update["domains"] = tuple(
            fileable_domain(text, field=f"{field}.domains.{position}")
            for position, text in enumerate(item.domains)
        )
    if item.new_domains is not None:
        update["new_domains"] = distinct_domains(item.new_domains, field=f"{field}.new_domains")
    if item.licence is not None:
        update["licence"] = str(parse_service(item.licence, field=f"{field}.licence"))
    return item.model_copy(update=update)
