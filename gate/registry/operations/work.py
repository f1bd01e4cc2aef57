"""One unit of work: the transaction of an operation, and the changes that it makes.

Domains are only ever written here, so that the tables and the log can't disagree: what is stored
for a domain is what its batch says, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Connection, Row, Table, select

from gate.filings import Change, Status
from gate.licence import ServiceKind, ServiceNumber, SubjectNumber
from gate.registry.fields import domain_status, parse_subject
from gate.registry.log import Head
from gate.registry.operations.transaction import Lookup, Transaction
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.schema import accesses, domains, services, subjects
from gate.registry.tokens import Actor


@dataclass(slots=True, frozen=True)
class Subject:
    """A live subject on record."""

    id: int
    number: SubjectNumber
    name: str
    account: str | None
    hollow: bool = False
    """It has no service."""


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

    `provider` is this registry's own id among access providers, `now` the operation's time,
    `policy` what the provider has set for orders.
    """

    transaction: Transaction
    head: Head
    provider: str
    now: int
    by: Actor
    policy: OrderPolicy = field(default_factory=OrderPolicy)
    changes: list[Change] = field(default_factory=list)

    @property
    def connection(self) -> Connection:
        """The transaction's connection, for whatever statement."""
        return self.transaction.connection

    @property
    def reading(self) -> Connection:
        """The transaction's connection, for statements that only read."""
        return self.transaction.reading

    @property
    def actor(self) -> str:
        """Who acts, as records name it."""
        return self.by.name

    def new_id(self, table: Table) -> int:
        """Return the next id of a table; safe because the head's lock keeps other writers out."""
        return self.transaction.next_id(table)

    def put_domain(self, domain: str, status: Status, licence: str, service: int | None) -> None:
        """Set a domain's state, and record the change if gates can see one."""
        before = self.transaction.one(DOMAIN, domain)
        same = before is not None and before[:2] == (status.value, licence)
        if before is not None and same and before.service == service:
            return
        changed_at, revision = self.now, self.head.revision + len(self.changes) + 1
        if before is not None and same:
            changed_at, revision = before.changed_at, before.revision
        else:
            self.changes.append(Change(domain, status, licence, self.now))
        put = HeldDomain(status.value, licence, service, changed_at, revision)
        values = put.values() | {"never_filed": False}
        self.transaction.put_domain(domain, values, new=before is None)
        self.transaction.know(DOMAIN, domain, put)

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
        """Return the domains of a service, in order."""
        query = select(domains.c.domain).where(domains.c.service_id == service.id)
        return list(self.reading.execute(query.order_by(domains.c.domain)).scalars())

    def accessed(self, service: Service, provider: str | None = None) -> bool:
        """Return whether a service has an access filing with a provider (this one by default)."""
        return (provider or self.provider) in (self.transaction.one(ACCESSES, service.id) or ())

    def subject_by_number(self, number: SubjectNumber) -> Subject | None:
        """Return the live subject with a licence number."""
        return self.transaction.one(SUBJECT_BY_NUMBER, str(number))

    def subject_by_account(self, account: str) -> Subject | None:
        """Return the live subject of an account."""
        return self.transaction.one(SUBJECT_BY_ACCOUNT, account)

    def subject_by_certificate(self, certificate: str) -> Subject | None:
        """Return the live subject with a certificate number."""
        return self.transaction.one(SUBJECT_BY_CERTIFICATE, certificate)

    def service_by_number(self, number: ServiceNumber) -> Service | None:
        """Return the live service with a licence number."""
        return self._one_service(
            subjects.c.licence == str(number.subject),
            services.c.kind == number.kind.value,
            services.c.site == number.site,
        )

    def service_by_domain(self, domain: str) -> Service | None:
        """Return the live service that holds a domain."""
        held = self.transaction.one(DOMAIN, domain)
        if held is None or held.service is None:
            return None
        return self.transaction.one(SERVICE, held.service)

    def services_of(self, subject: Subject) -> list[Service]:
        """Return the live services of a subject, in order of their numbers."""
        return self._services(services.c.subject_id == subject.id)

    def _one_service(self, *conditions: Any) -> Service | None:
        found = self._services(*conditions)
        return found[0] if found else None

    def _services(self, *conditions: Any) -> list[Service]:
        rows = self.reading.execute(
            select(*_SERVICE)
            .where(*_IS_LIVE, *conditions)
            .order_by(services.c.site, services.c.kind)
        )
        return list(map(_read_service, rows))


_SUBJECT: Final = (
    subjects.c.id,
    subjects.c.licence,
    subjects.c.name,
    subjects.c.account,
    subjects.c.hollow_since,
)
_SERVICE: Final = (
    *_SUBJECT,
    services.c.id.label("service"),
    services.c.kind,
    services.c.site,
    services.c.suspended,
)
_IS_LIVE: Final = (
    subjects.c.id == services.c.subject_id,
    services.c.cancelled_at.is_(None),
    subjects.c.cancelled_at.is_(None),
)


def _read_subject(row: Any) -> Subject:
    number, hollow = parse_subject(row.licence), row.hollow_since is not None
    return Subject(row.id, number, row.name, row.account, hollow)


def _read_service(row: Any) -> Service:
    subject, kind = _read_subject(row), ServiceKind(row.kind)
    return Service(row.service, subject, kind, row.site, row.suspended)


def _live(column: Column[Any]) -> Lookup[Subject]:
    return Lookup(column, _SUBJECT, _read_subject, subjects.c.cancelled_at.is_(None))


SUBJECT_BY_NUMBER: Final = _live(subjects.c.licence)
SUBJECT_BY_ACCOUNT: Final = _live(subjects.c.account)
SUBJECT_BY_CERTIFICATE: Final = _live(subjects.c.certificate)
SERVICE: Final = Lookup(services.c.id, _SERVICE, _read_service, *_IS_LIVE)


class HeldDomain(NamedTuple):
    """A domain's row: what gates hold, and the service that it belongs to."""

    status: str
    licence: str
    service: int | None
    changed_at: int
    revision: int

    def values(self) -> dict[str, Any]:
        """Return it as the table has it."""
        return {
            "status": self.status,
            "licence": self.licence,
            "service_id": self.service,
            "changed_at": self.changed_at,
            "revision": self.revision,
        }


DOMAIN: Final = Lookup(
    domains.c.domain,
    (
        domains.c.status,
        domains.c.licence,
        domains.c.service_id,
        domains.c.changed_at,
        domains.c.revision,
    ),
    lambda row: HeldDomain(*tuple(row)[1:]),
)


def _read_providers(row: Row[Any]) -> tuple[str, ...]:
    return (str(row.provider),)


ACCESSES: Final = Lookup(
    accesses.c.service_id, (accesses.c.provider,), _read_providers, joined=True
)
"""The providers that a service has an access filing with."""
