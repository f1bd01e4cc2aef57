"""首次备案 and 新增服务: applications, and what the authority says of them.

submitted ──> approved   the subject and service exist, the domains are `filed`
         └──> rejected   nothing happened, the domains are free again
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update

from gate.registry.commands import (
    Approve,
    FirstFiling,
    NewService,
    Reject,
    ServiceData,
    SubjectData,
)
from gate.registry.errors import RegistryError
from gate.registry.licence import (
    MAX_SITE,
    ServiceKind,
    ServiceNumber,
    SubjectNumber,
    check_province,
    parse_licence,
    parse_subject,
)
from gate.registry.operations import checks
from gate.registry.operations.work import Service, Subject, Work
from gate.registry.rules import clean_identifier, clean_text, fileable_domains
from gate.registry.schema import accesses, applications, reservations, services, subjects


@dataclass(slots=True, frozen=True)
class Filed:
    """What became of an application: its id, and the number given, if any."""

    application: int
    licence: str | None = None


def submit_first(work: Work, command: FirstFiling) -> Filed:
    """Take an application for a first filing; nothing is in force before its approval.

    Raises RegistryError for every rule that the application breaks already.
    """
    check_province(command.province)
    command = command.model_copy(
        update={
            "account": clean_identifier(command.account, field="account"),
            "subject": _clean_subject(command.subject),
            "service": _clean_service(command.service),
        }
    )
    checks.account_is_free(work, command.account)
    checks.account_does_not_wait(work, command.account)
    checks.certificate_is_free(work, command.subject.certificate)
    checks.domains_are_free(work, command.service.domains)
    return _submit(work, command)


def submit_new(work: Work, command: NewService) -> Filed:
    """Take an application for another service of a subject filed here or elsewhere.

    Raises RegistryError for every rule that the application breaks already.
    """
    number = parse_subject(command.licence)
    command = command.model_copy(
        update={
            "account": clean_identifier(command.account, field="account"),
            "subject": _clean_subject(command.subject) if command.subject else None,
            "service": _clean_service(command.service),
        }
    )
    _check_subject_for_new(work, command, number)
    checks.domains_are_free(work, command.service.domains)
    return _submit(work, command)


def approve(work: Work, command: Approve) -> Filed:
    """The authority approves: the domains of the application become `filed`.

    Raises RegistryError `application_unknown`, `application_decided`, or a rule that was broken
    since the application was made.
    """
    kind, request = _open_application(work, command.application)
    given = parse_licence(command.licence) if command.licence is not None else None
    if kind == FirstFiling.operation:
        service, data = _approve_first(work, FirstFiling.model_validate_json(request), given)
    else:
        service, data = _approve_new(work, NewService.model_validate_json(request), given)
    checks.domains_are_free(work, data.domains, application=command.application)
    _insert_service(work, service, data)
    work.claim_domains(data.domains, service)
    _decide(work, command.application, "approved", licence=str(service.number))
    return Filed(command.application, str(service.number))


def reject(work: Work, command: Reject) -> Filed:
    """The authority rejects; raises `application_unknown` or `application_decided`."""
    _open_application(work, command.application)
    reason = clean_text(command.reason, field="reason")
    _decide(work, command.application, "rejected", reason=reason)
    return Filed(command.application)


def _approve_first(
    work: Work, request: FirstFiling, given: SubjectNumber | ServiceNumber | None
) -> tuple[Service, ServiceData]:
    checks.account_is_free(work, request.account)
    checks.certificate_is_free(work, request.subject.certificate)
    site = 1
    if given is None:
        number = _next_number(work, request.province)
    elif isinstance(given, ServiceNumber):
        _check_kind(given, request.service.kind)
        number, site = given.subject, given.site
    else:
        number = given
    if number.province != request.province:
        raise RegistryError(
            "licence_province", field="licence", licence=number, province=request.province
        )
    checks.subject_number_is_free(work, number, field="licence")
    subject = insert_subject(work, number, request.subject, request.account)
    return _new_service(work, subject, request.service.kind, site), request.service


def _approve_new(
    work: Work, request: NewService, given: SubjectNumber | ServiceNumber | None
) -> tuple[Service, ServiceData]:
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
    if subject is None:
        assert request.subject is not None  # noqa: S101 - checked by _check_subject_for_new
        subject = insert_subject(work, number, request.subject, request.account)
    elif subject.account is None:
        bind_account(work, subject, request.account)
    site = given.site if given is not None else _next_site(work, subject)
    return _new_service(work, subject, request.service.kind, site), request.service


def _check_subject_for_new(
    work: Work, request: NewService, number: SubjectNumber
) -> Subject | None:
    """The subject of a new service if it is on record, after the rules about its account."""
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


def _submit(work: Work, command: FirstFiling | NewService) -> Filed:
    application = work.new_id(applications)
    work.connection.execute(
        insert(applications).values(
            id=application,
            kind=command.operation,
            state="submitted",
            account=command.account,
            request=command.model_dump_json(),
            submitted_at=work.now,
            submitted_by=work.actor,
            reason="",
            licence="",
        )
    )
    work.connection.execute(
        insert(reservations),
        [{"domain": domain, "application_id": application} for domain in command.service.domains],
    )
    return Filed(application)


def _open_application(work: Work, application: int) -> tuple[str, str]:
    row = work.connection.execute(
        select(applications.c.kind, applications.c.state, applications.c.request).where(
            applications.c.id == application
        )
    ).one_or_none()
    if row is None:
        raise RegistryError("application_unknown", field="application", application=application)
    if row.state != "submitted":
        raise RegistryError(
            "application_decided", field="application", application=application, state=row.state
        )
    return row.kind, row.request


def _decide(
    work: Work, application: int, state: str, *, reason: str = "", licence: str = ""
) -> None:
    work.connection.execute(
        update(applications)
        .where(applications.c.id == application)
        .values(
            state=state,
            decided_at=work.now,
            decided_by=work.actor,
            reason=reason,
            licence=licence,
        )
    )
    work.connection.execute(
        delete(reservations).where(reservations.c.application_id == application)
    )


def insert_subject(
    work: Work, number: SubjectNumber, data: SubjectData, account: str | None
) -> Subject:
    """Put a new subject on record."""
    subject = Subject(work.new_id(subjects), number, data.name, account)
    work.connection.execute(
        insert(subjects).values(
            id=subject.id,
            licence=str(number),
            province=number.province,
            name=data.name,
            kind=data.kind.value,
            account=account,
            certificate=data.certificate,
            created_at=work.now,
            changed_at=work.now,
        )
    )
    return subject


def bind_account(work: Work, subject: Subject, account: str) -> None:
    """Give a subject that was known only through other providers its account here."""
    work.connection.execute(
        update(subjects)
        .where(subjects.c.id == subject.id)
        .values(account=account, changed_at=work.now)
    )


def _new_service(work: Work, subject: Subject, kind: ServiceKind, site: int) -> Service:
    return Service(work.new_id(services), subject, kind, site, suspended=False)


def _insert_service(work: Work, service: Service, data: ServiceData) -> None:
    work.connection.execute(
        insert(services).values(
            id=service.id,
            subject_id=service.subject.id,
            kind=service.kind.value,
            site=service.site,
            name=data.name,
            suspended=False,
            created_at=work.now,
            changed_at=work.now,
        )
    )
    work.connection.execute(
        insert(accesses).values(service_id=service.id, provider=work.provider, since=work.now)
    )


def _next_site(work: Work, subject: Subject) -> int:
    """The next service number under a subject; one that was cancelled is not given again."""
    highest: int | None = work.connection.execute(
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
    highest: str | None = work.connection.execute(
        select(func.max(subjects.c.licence)).where(
            subjects.c.licence >= str(first),
            subjects.c.licence <= str(last),
            func.length(subjects.c.licence) == len(str(first)),
        )
    ).scalar()
    if highest == str(last):
        raise RegistryError("serials_used_up", field="licence", licence=last)
    serial = int(parse_subject(highest).serial) if highest is not None else int(first.serial)
    return SubjectNumber(province, str(serial + 1))
