"""首次备案 and 新增服务: putting subjects and services on record.

What an application asks for is checked twice by the same rules: when it is made, and when the
authority approves it, for much may have changed in between.
"""

from __future__ import annotations

import time

from sqlalchemy import func, select, update

from gate.licence import MAX_SITE, ServiceKind, ServiceNumber, SubjectNumber
from gate.registry.commands import FirstFiling, NewService, ServiceData, SubjectData
from gate.registry.errors import RegistryError
from gate.registry.fields import (
    check_province,
    clean_identifier,
    clean_text,
    fileable_domains,
    folded,
    parse_licence,
    parse_subject,
)
from gate.registry.operations import checks
from gate.registry.operations.hollowing import hollow_no_more
from gate.registry.operations.work import (
    ACCESSES,
    SERVICE,
    SUBJECT_BY_ACCOUNT,
    SUBJECT_BY_CERTIFICATE,
    SUBJECT_BY_NUMBER,
    Service,
    Subject,
    Work,
)
from gate.registry.schema import accesses, services, subjects


def clean_first(command: FirstFiling) -> FirstFiling:
    """Return the request in canonical form. Raises RegistryError for what can't be filed."""
    return command.model_copy(
        update={
            "province": check_province(command.province),
            "account": clean_identifier(command.account, field="account"),
            "subject": _clean_subject(command.subject),
            "service": _clean_service(command.service),
        }
    )


def check_first(work: Work, command: FirstFiling, *, order: int | None = None) -> None:
    """Raise RegistryError for every rule that a first filing breaks by the records of now.

    `order` is the one that may hold its domains.
    """
    checks.account_is_free(work, command.account)
    checks.certificate_is_free(work, command.subject.certificate)
    checks.domains_are_free(work, command.service.domains, order=order)


def clean_new(command: NewService) -> NewService:
    """Return the request in canonical form. Raises RegistryError for what can't be filed."""
    return command.model_copy(
        update={
            "account": clean_identifier(command.account, field="account"),
            "licence": str(parse_subject(command.licence)),
            "subject": _clean_subject(command.subject) if command.subject else None,
            "service": _clean_service(command.service),
        }
    )


def check_new(work: Work, command: NewService, *, order: int | None = None) -> Subject | None:
    """Return the subject of a new service if it is on record, after every rule that applies.

    Raises RegistryError for the rule that is broken.
    """
    subject = _check_subject_for_new(work, command, parse_subject(command.licence))
    checks.domains_are_free(work, command.service.domains, order=order)
    return subject


def file_first(
    work: Work, request: FirstFiling, licence: str | None, *, order: int | None = None
) -> Service:
    """Put a new subject on record with its first service; the domains become `filed`.

    `licence` is the number that the authority gives, a subject's or the service's; without it the
    next free one is taken. Raises RegistryError for the rule that is broken.
    """
    given = parse_licence(licence) if licence is not None else None
    checks.account_is_free(work, request.account)
    checks.certificate_is_free(work, request.subject.certificate)
    site = 1
    if given is None:
        number = _next_number(work, check_province(request.province))
    elif isinstance(given, ServiceNumber):
        _check_kind(given, request.service.kind)
        number, site = given.subject, given.site
    else:
        number = given
    if number.province != check_province(request.province):
        raise RegistryError(
            "licence_province", field="licence", licence=number, province=request.province
        )
    if given is not None:
        checks.subject_number_is_free(work, number, field="licence")
    checks.domains_are_free(work, request.service.domains, order=order)
    subject = insert_subject(work, number, request.subject, request.account)
    service = Service(work.new_id(services), subject, request.service.kind, site, suspended=False)
    _insert_service(work, service, request.service)
    work.claim_domains(request.service.domains, service)
    return service


def file_new(
    work: Work, request: NewService, licence: str | None, *, order: int | None = None
) -> Service:
    """Put another service of a subject on record; its domains become `filed`.

    Raises RegistryError for the rule that is broken.
    """
    given = parse_licence(licence) if licence is not None else None
    number = parse_subject(request.licence)
    subject = _check_subject_for_new(work, request, number)
    if isinstance(given, SubjectNumber):
        raise RegistryError("licence_not_service", field="licence", licence=given)
    if given is not None:
        _check_kind(given, request.service.kind)
        if given.subject != number:
            raise RegistryError(
                "licence_other_subject", field="licence", licence=given, subject=number
            )
        if work.service_by_number(given) is not None:
            raise RegistryError("licence_taken", field="licence", licence=given)
    checks.domains_are_free(work, request.service.domains, order=order)
    if subject is None:
        assert request.subject is not None  # noqa: S101 - checked by _check_subject_for_new
        subject = insert_subject(work, number, request.subject, request.account)
    elif subject.account is None:
        bind_account(work, subject, request.account)
    if subject.hollow:
        hollow_no_more(work.connection, [subject.id])
    site = given.site if given is not None else _next_site(work, subject)
    service = Service(work.new_id(services), subject, request.service.kind, site, suspended=False)
    _insert_service(work, service, request.service)
    work.claim_domains(request.service.domains, service)
    return service


def _check_subject_for_new(
    work: Work, request: NewService, number: SubjectNumber
) -> Subject | None:
    """Return the subject of a new service if it is on record, after the rules about its account."""
    subject = work.subject_by_number(number)
    if subject is not None:
        checks.account_may_use(work, request.account, subject)
        return subject
    if request.subject is None:
        raise RegistryError("licence_unknown", field="licence", licence=number)
    checks.account_is_free(work, request.account)
    checks.certificate_is_free(work, request.subject.certificate)
    return None


def _check_kind(number: ServiceNumber, kind: ServiceKind) -> None:
    if number.kind is not kind:
        raise RegistryError("licence_kind", field="licence", licence=number)


def _clean_subject(data: SubjectData) -> SubjectData:
    certificate = data.certificate
    return data.model_copy(
        update={
            "name": clean_text(data.name, field="subject.name"),
            "certificate": clean_text(certificate, field="subject.certificate", limit=64)
            if certificate is not None
            else None,
        }
    )


def _clean_service(data: ServiceData) -> ServiceData:
    return data.model_copy(
        update={
            "name": clean_text(data.name, field="service.name"),
            "domains": fileable_domains(data.domains, data.kind, field="service.domains"),
        }
    )


def insert_subject(
    work: Work, number: SubjectNumber, data: SubjectData, account: str | None
) -> Subject:
    """Put a new subject on record."""
    subject = Subject(work.new_id(subjects), number, data.name, account)
    row = {
        "id": subject.id,
        "licence": str(number),
        "province": number.province,
        "name": data.name,
        "folded": folded(data.name),
        "kind": data.kind.value,
        "account": account,
        "certificate": data.certificate,
        "created_at": work.now,
        "changed_at": work.now,
    }
    work.transaction.insert(subjects, row)
    work.transaction.given(_series(number), str(number))
    work.transaction.know(SUBJECT_BY_NUMBER, str(number), subject)
    if account is not None:
        work.transaction.know(SUBJECT_BY_ACCOUNT, account, subject)
    if data.certificate is not None:
        work.transaction.know(SUBJECT_BY_CERTIFICATE, data.certificate, subject)
    return subject


def bind_account(work: Work, subject: Subject, account: str) -> None:
    """Give a subject that was known only through other providers its account here."""
    work.connection.execute(
        update(subjects)
        .where(subjects.c.id == subject.id)
        .values(account=account, changed_at=work.now)
    )


def _insert_service(work: Work, service: Service, data: ServiceData) -> None:
    row = {
        "id": service.id,
        "subject_id": service.subject.id,
        "kind": service.kind.value,
        "site": service.site,
        "name": data.name,
        "suspended": False,
        "created_at": work.now,
        "changed_at": work.now,
    }
    access = {"service_id": service.id, "provider": work.provider, "since": work.now}
    work.transaction.insert(services, row)
    work.transaction.insert(accesses, access)
    work.transaction.know(SERVICE, service.id, service)
    work.transaction.know(ACCESSES, service.id, (work.provider,))


def _next_site(work: Work, subject: Subject) -> int:
    """Return the next service number under a subject; one that was cancelled is not given again."""
    highest: int | None = work.reading.execute(
        select(func.max(services.c.site)).where(services.c.subject_id == subject.id)
    ).scalar()
    if highest == MAX_SITE:
        raise RegistryError("sites_used_up", field="licence", subject=subject.number)
    return (highest or 0) + 1


def _next_number(work: Work, province: str) -> SubjectNumber:
    """The next subject number of a province: the year and six digits, above all given so far.

    Raises RegistryError `serials_used_up` at the year's end of them.
    """
    year = time.gmtime(work.now + 8 * 3600).tm_year  # the filing system keeps China time
    first = SubjectNumber(province, f"{year}000000")
    last = SubjectNumber(province, f"{year}999999")
    highest: str | None = work.transaction.highest(
        _series(first),
        lambda: select(func.max(subjects.c.licence)).where(
            subjects.c.licence >= str(first),
            subjects.c.licence <= str(last),
            func.length(subjects.c.licence) == len(str(first)),
        ),
    )
    if highest == str(last):
        raise RegistryError("serials_used_up", field="licence", licence=last)
    serial = int(parse_subject(highest).serial) if highest is not None else int(first.serial)
    return SubjectNumber(province, str(serial + 1))


def _series(number: SubjectNumber) -> str:
    """Return what the highest number of is kept in mind by."""
    return f"subjects {number.province} {number.series} {len(number.serial)} {number.serial[:4]}"
