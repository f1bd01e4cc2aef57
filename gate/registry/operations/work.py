"""One unit of work: the transaction of an operation, and the changes that it makes.

Domains are only ever written here, so that the tables and the log can't disagree: what is stored
for a domain is what its batch says, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, select, update

from gate.registry.licence import ServiceKind, ServiceNumber, SubjectNumber, parse_subject
from gate.registry.log import Head
from gate.registry.rules import domain_status
from gate.registry.schema import accesses, domains, services, subjects
from gate.replica import Change, Status


@dataclass(slots=True, frozen=True)
class Subject:
    """A live subject on record."""

    id: int
    number: SubjectNumber
    name: str
    account: str | None


@dataclass(slots=True, frozen=True)
class Service:
    """A live service on record, with its subject."""

    id: int
    subject: Subject
    kind: ServiceKind
    site: int
    suspended: bool

    @property
    def number(self) -> ServiceNumber:
        """Its licence number."""
        return ServiceNumber(self.subject.number, self.kind, self.site)


@dataclass(slots=True)
class Work:
    """The open write transaction of one operation, with the log's head locked.

    `provider` is this registry's own id among access providers, `now` the operation's time.
    """

    connection: Connection
    head: Head
    provider: str
    now: int
    actor: str
    changes: list[Change] = field(default_factory=list)

    def new_id(self, table: Table) -> int:
        """The next id of a table; safe because the head's lock keeps other writers out."""
        highest: int | None = self.connection.execute(select(func.max(table.c.id))).scalar()
        return (highest or 0) + 1

    def put_domain(self, domain: str, status: Status, licence: str, service: int | None) -> None:
        """Set a domain's state, and record the change if gates can see one."""
        values: dict[str, Any] = {
            "status": status.value,
            "licence": licence,
            "service_id": service,
        }
        query = select(domains.c.status, domains.c.licence, domains.c.service_id)
        row = self.connection.execute(query.where(domains.c.domain == domain)).one_or_none()
        if row is not None and row[:2] == (status.value, licence):
            if row[2] != service:
                self.connection.execute(
                    update(domains).where(domains.c.domain == domain).values(service_id=service)
                )
            return
        self.changes.append(Change(domain, status, licence, self.now))
        values["changed_at"] = self.now
        values["revision"] = self.head.revision + len(self.changes)
        if row is None:
            self.connection.execute(insert(domains).values(domain=domain, **values))
        else:
            self.connection.execute(
                update(domains).where(domains.c.domain == domain).values(**values)
            )

    def drop_domains(self, names: Sequence[str]) -> None:
        """Make domains `absent`."""
        for name in names:
            self.put_domain(name, Status.ABSENT, "", None)

    def claim_domains(self, names: Sequence[str], service: Service) -> None:
        """Put domains under a service, with the state that its accesses and suspension give."""
        status = domain_status(accessed=self.accessed(service), suspended=service.suspended)
        for name in names:
            self.put_domain(name, status, str(service.number), service.id)

    def refresh(self, service: Service) -> None:
        """Bring a service's domains up to its number, accesses and suspension."""
        self.claim_domains(self.domains_of(service), service)

    def domains_of(self, service: Service) -> list[str]:
        """The domains of a service, in order."""
        query = select(domains.c.domain).where(domains.c.service_id == service.id)
        return list(self.connection.execute(query.order_by(domains.c.domain)).scalars())

    def accessed(self, service: Service, provider: str | None = None) -> bool:
        """Whether a service has an access filing with a provider (this one by default)."""
        query = select(accesses.c.service_id).where(
            accesses.c.service_id == service.id,
            accesses.c.provider == (provider or self.provider),
        )
        return self.connection.execute(query).first() is not None

    def subject_by_number(self, number: SubjectNumber) -> Subject | None:
        """The live subject with a licence number."""
        return self._subject(subjects.c.licence == str(number))

    def subject_by_account(self, account: str) -> Subject | None:
        """The live subject of an account."""
        return self._subject(subjects.c.account == account)

    def subject_by_certificate(self, certificate: str) -> Subject | None:
        """The live subject with a certificate number."""
        return self._subject(subjects.c.certificate == certificate)

    def service_by_number(self, number: ServiceNumber) -> Service | None:
        """The live service with a licence number."""
        return self._one_service(
            subjects.c.licence == str(number.subject),
            services.c.kind == number.kind.value,
            services.c.site == number.site,
        )

    def service_by_domain(self, domain: str) -> Service | None:
        """The live service that holds a domain."""
        query = select(domains.c.service_id).where(domains.c.domain == domain)
        service = self.connection.execute(query).scalar()
        return None if service is None else self._one_service(services.c.id == service)

    def services_of(self, subject: Subject) -> list[Service]:
        """The live services of a subject, in order of their numbers."""
        return self._services(services.c.subject_id == subject.id)

    def _subject(self, condition: Any) -> Subject | None:
        row = self.connection.execute(
            select(*_SUBJECT).where(condition, subjects.c.cancelled_at.is_(None))
        ).one_or_none()
        return None if row is None else _read_subject(row)

    def _one_service(self, *conditions: Any) -> Service | None:
        found = self._services(*conditions)
        return found[0] if found else None

    def _services(self, *conditions: Any) -> list[Service]:
        rows = self.connection.execute(
            select(
                *_SUBJECT,
                services.c.id.label("service"),
                services.c.kind,
                services.c.site,
                services.c.suspended,
            )
            .join(subjects, subjects.c.id == services.c.subject_id)
            .where(
                services.c.cancelled_at.is_(None), subjects.c.cancelled_at.is_(None), *conditions
            )
            .order_by(services.c.site, services.c.kind)
        )
        return [
            Service(row.service, _read_subject(row), ServiceKind(row.kind), row.site, row.suspended)
            for row in rows
        ]


_SUBJECT = (subjects.c.id, subjects.c.licence, subjects.c.name, subjects.c.account)


def _read_subject(row: Row[*tuple[Any, ...]]) -> Subject:
    return Subject(row.id, parse_subject(row.licence), row.name, row.account)
