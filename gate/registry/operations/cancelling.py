"""注销服务 and 注销主体: what ends a filing."""

from __future__ import annotations

from sqlalchemy import delete, update

from gate.registry.commands import CancelService, CancelSubject
from gate.registry.operations import checks
from gate.registry.operations.hollowing import left_hollow
from gate.registry.operations.work import Service, Work
from gate.registry.schema import accesses, services, subjects


def cancel_service(work: Work, command: CancelService) -> str:
    """注销服务: its domains become `absent`. Gives back its number.

    Raises RegistryError `licence_unknown` or `domain_unknown`.
    """
    service = checks.known_service(work, command.licence, command.domain)
    _end(work, service)
    left_hollow(work.connection, [service.id])
    return str(service.number)


def cancel_subject(work: Work, command: CancelSubject) -> str:
    """注销主体: every domain of its services becomes `absent`, in one batch.

    Raises RegistryError `licence_unknown`.
    """
    subject = checks.known_subject(work, command.licence)
    for service in work.services_of(subject):
        _end(work, service)
    work.connection.execute(
        update(subjects)
        .where(subjects.c.id == subject.id)
        .values(cancelled_at=work.now, changed_at=work.now)
    )
    return str(subject.number)


def _end(work: Work, service: Service) -> None:
    work.drop_domains(work.domains_of(service))
    work.connection.execute(delete(accesses).where(accesses.c.service_id == service.id))
    work.connection.execute(
        update(services)
        .where(services.c.id == service.id)
        .values(cancelled_at=work.now, changed_at=work.now)
    )
