"""接入备案, 变更备案 and 暂停: what changes a service or subject that stays on record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import delete, insert, update

from gate.registry.commands import (
    AccessFiling,
    CancelAccess,
    ChangeService,
    ChangeSubject,
    Resume,
    Suspend,
)
from gate.registry.errors import RegistryError
from gate.registry.fields import (
    clean_identifier,
    clean_text,
    domains_after_change,
    fileable_domain,
    folded,
    parse_service,
    parse_subject,
)
from gate.registry.operations import checks
from gate.registry.operations.filing import bind_account
from gate.registry.operations.work import Service, Work
from gate.registry.schema import accesses, services, subjects


def file_access(work: Work, command: AccessFiling) -> str:
    """接入备案: `filed_elsewhere` becomes `filed`. Gives back the service's number.

    The filing must be on record, from an import of what other providers filed: the registry
    opens no domain on the applicant's word.
    Raises RegistryError `domain_unknown`, `licence_differs`, `already_accessed`, or a rule about
    accounts.
    """
    account = clean_identifier(command.account, field="account")
    domain = fileable_domain(command.domain)
    number = parse_service(command.licence)
    service = work.service_by_domain(domain)
    if service is None:
        raise RegistryError("domain_unknown", field="domain", domain=domain)
    if service.number != number:
        raise RegistryError("licence_differs", field="licence", domain=domain, licence=number)
    if work.accessed(service):
        raise RegistryError(
            "already_accessed", field="domain", domain=domain, provider=work.provider
        )
    checks.account_may_use(work, account, service.subject)
    if service.subject.account is None:
        bind_account(work, service.subject, account)
    work.connection.execute(
        insert(accesses).values(service_id=service.id, provider=work.provider, since=work.now)
    )
    work.refresh(service)
    return str(number)


def cancel_access(work: Work, command: CancelAccess) -> str:
    """取消接入: with this registry's own provider, `filed` becomes `filed_elsewhere`.

    Raises RegistryError `not_accessed`, `licence_unknown` or `domain_unknown`.
    """
    service = checks.known_service(work, command.licence, command.domain)
    provider = work.provider
    if command.provider is not None:
        provider = clean_identifier(command.provider, field="provider")
    if not work.accessed(service, provider):
        raise RegistryError(
            "not_accessed", field="provider", domain=service.number, provider=provider
        )
    work.connection.execute(
        delete(accesses).where(accesses.c.service_id == service.id, accesses.c.provider == provider)
    )
    work.refresh(service)
    return str(service.number)


def change_subject(work: Work, command: ChangeSubject) -> str:
    """变更主体: new data, another account, or another number, which all its domains then carry.

    Raises RegistryError `nothing_to_change`, `licence_unknown`, or the rule that is broken.
    """
    subject = checks.known_subject(work, command.licence)
    values: dict[str, Any] = {}
    if command.name is not None:
        values["name"] = clean_text(command.name, field="name")
        values["folded"] = folded(values["name"])
    if command.kind is not None:
        values["kind"] = command.kind.value
    if command.certificate is not None:
        values["certificate"] = clean_text(command.certificate, field="certificate", limit=64)
        checks.certificate_is_free(work, values["certificate"], subject=subject)
    if command.account is not None:
        values["account"] = clean_identifier(command.account, field="account")
        checks.account_is_free(work, values["account"], subject=subject)
    number = subject.number
    if command.new_licence is not None:
        number = parse_subject(command.new_licence, field="new_licence")
        if number != subject.number:
            checks.subject_number_is_free(work, number, field="new_licence")
            values["licence"] = str(number)
            values["province"] = number.province
    if not values:
        raise RegistryError("nothing_to_change")
    work.connection.execute(
        update(subjects).where(subjects.c.id == subject.id).values(changed_at=work.now, **values)
    )
    for service in work.services_of(replace(subject, number=number)):
        work.refresh(service)
    return str(number)


def change_service(work: Work, command: ChangeService) -> str:
    """变更服务: another name, or other domains; a domain that is left out is revoked.

    A website from before 2019 with several domains may lose some of them, and gets no other one.
    Raises RegistryError `nothing_to_change`, or the rule that is broken.
    """
    if command.name is None and command.domains is None:
        raise RegistryError("nothing_to_change")
    service = checks.known_service(work, command.licence, command.domain)
    values: dict[str, Any] = {"changed_at": work.now}
    if command.name is not None:
        values["name"] = clean_text(command.name, field="name")
    work.connection.execute(update(services).where(services.c.id == service.id).values(**values))
    if command.domains is not None:
        _change_domains(work, service, command.domains)
    return str(service.number)


def _change_domains(work: Work, service: Service, texts: tuple[str, ...]) -> None:
    held = work.domains_of(service)
    wanted = domains_after_change(texts, service.kind, held)
    added = [domain for domain in wanted if domain not in held]
    checks.domains_are_free(work, added)
    work.drop_domains([domain for domain in held if domain not in wanted])
    work.claim_domains(added, service)


def suspend(work: Work, command: Suspend) -> str:
    """暂停: the domains become `suspended`. Raises RegistryError `already_suspended`."""
    service = checks.known_service(work, command.licence, command.domain)
    clean_text(command.reason, field="reason")
    if service.suspended:
        raise RegistryError("already_suspended", domain=service.number)
    _set_suspended(work, service, suspended=True)
    return str(service.number)


def resume(work: Work, command: Resume) -> str:
    """恢复: the domains are what they were. Raises RegistryError `not_suspended`."""
    service = checks.known_service(work, command.licence, command.domain)
    if not service.suspended:
        raise RegistryError("not_suspended", domain=service.number)
    _set_suspended(work, service, suspended=False)
    return str(service.number)


def _set_suspended(work: Work, service: Service, *, suspended: bool) -> None:
    work.connection.execute(
        update(services)
        .where(services.c.id == service.id)
        .values(suspended=suspended, changed_at=work.now)
    )
    work.refresh(replace(service, suspended=suspended))
