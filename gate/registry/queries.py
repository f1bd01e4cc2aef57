"""Reading the records: search by domain, licence number or subject, page by page.

A page ends with a cursor, the key of its last row; the next page begins after it, so that rows
which come and go in between are neither skipped nor shown twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from gate.names import to_display
from gate.registry.commands import FirstFiling, NewService, SubjectKind
from gate.registry.errors import RegistryError
from gate.registry.licence import (
    ServiceKind,
    ServiceNumber,
    parse_licence,
    parse_subject,
)
from gate.registry.rules import fileable_domain
from gate.registry.schema import (
    accesses,
    applications,
    audit,
    domains,
    imports,
    refusals,
    services,
    subjects,
)
from gate.registry.views import (
    ApplicationView,
    AuditView,
    FilingView,
    ImportView,
    RefusalView,
    ServiceView,
    SubjectDetail,
    SubjectView,
)
from gate.replica import Status

_FEW: Final = 1_000


@dataclass(slots=True, frozen=True)
class FilingQuery:
    """What to look for; every part that is given must fit.

    `text` is what a person typed: a licence number, a domain or part of a subject's name.
    """

    domain: str | None = None
    licence: str | None = None
    subject: str | None = None
    account: str | None = None
    status: str | None = None
    text: str | None = None


def find_filings(
    connection: Connection, query: FilingQuery, *, after: str, limit: int
) -> list[FilingView]:
    """Filings in order of domain, beyond the domain `after`.

    Raises RegistryError for a domain or licence number that can't be one.
    """
    rows = connection.execute(
        _filings().where(domains.c.domain > after, *_conditions(connection, query)).limit(limit)
    ).all()
    return _show(connection, rows)


def filing(connection: Connection, domain: str) -> FilingView:
    """The record of one domain. Raises RegistryError `domain_unknown` or `domain_invalid`."""
    name = fileable_domain(domain)
    rows = connection.execute(_filings().where(domains.c.domain == name)).all()
    if not rows:
        raise RegistryError("domain_unknown", field="domain", domain=name)
    return _show(connection, rows)[0]


def subject(connection: Connection, licence: str) -> SubjectDetail:
    """A live subject with its services. Raises RegistryError `licence_unknown`."""
    number = parse_subject(licence)
    row = connection.execute(
        select(subjects).where(subjects.c.licence == str(number), subjects.c.cancelled_at.is_(None))
    ).one_or_none()
    if row is None:
        raise RegistryError("licence_unknown", field="licence", licence=number)
    held = connection.execute(
        select(services)
        .where(services.c.subject_id == row.id, services.c.cancelled_at.is_(None))
        .order_by(services.c.site, services.c.kind)
    ).all()
    ids = [service.id for service in held]
    names = _grouped(connection, domains.c.service_id, domains.c.domain, ids)
    providers = _grouped(connection, accesses.c.service_id, accesses.c.provider, ids)
    return SubjectDetail(
        **_subject(row).model_dump(),
        created_at=row.created_at,
        services=tuple(
            ServiceView(
                licence=str(ServiceNumber(number, ServiceKind(item.kind), item.site)),
                name=item.name,
                kind=ServiceKind(item.kind),
                suspended=item.suspended,
                domains=names.get(item.id, ()),
                providers=providers.get(item.id, ()),
            )
            for item in held
        ),
    )


def find_applications(
    connection: Connection, *, state: str | None, after: int, limit: int
) -> list[ApplicationView]:
    """Applications in order of their numbers, beyond `after`."""
    query = select(applications).where(applications.c.id > after)
    if state is not None:
        query = query.where(applications.c.state == state)
    rows = connection.execute(query.order_by(applications.c.id).limit(limit))
    return [_application(row) for row in rows]


def application(connection: Connection, number: int) -> ApplicationView:
    """One application. Raises RegistryError `application_unknown`."""
    row = connection.execute(select(applications).where(applications.c.id == number)).one_or_none()
    if row is None:
        raise RegistryError("application_unknown", field="application", application=number)
    return _application(row)


def find_audit(connection: Connection, *, after: int, limit: int) -> list[AuditView]:
    """Lines of the audit trail in order, beyond line `after`."""
    rows = connection.execute(
        select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
    )
    return [AuditView(**row._mapping) for row in rows]


def import_progress(connection: Connection, digest: str) -> ImportView:
    """How far an import is. Raises RegistryError `import_unknown`."""
    row = connection.execute(select(imports).where(imports.c.digest == digest)).one_or_none()
    if row is None:
        raise RegistryError("import_unknown", field="digest", digest=digest[:64])
    values = dict(row._mapping)
    del values["actor"]
    return ImportView(**values)


def find_refusals(
    connection: Connection, digest: str, *, after: int, limit: int
) -> list[RefusalView]:
    """Lines that an import refused, in order, beyond line `after`."""
    rows = connection.execute(
        select(refusals.c.line, refusals.c.code, refusals.c.zh, refusals.c.en)
        .where(refusals.c.digest == digest, refusals.c.line > after)
        .order_by(refusals.c.line)
        .limit(limit)
    )
    return [RefusalView(**row._mapping) for row in rows]


def count_domains(connection: Connection) -> int:
    """How many domains are on record, absent ones included."""
    return connection.execute(select(func.count()).select_from(domains)).scalar_one()


def providers_of_filed(connection: Connection) -> tuple[str, ...]:
    """The providers of some domain that is `filed`; one of them is this registry's own."""
    some = select(domains.c.service_id).where(domains.c.status == Status.FILED.value).limit(1)
    found = connection.execute(
        select(accesses.c.provider)
        .where(accesses.c.service_id == some.scalar_subquery())
        .order_by(accesses.c.provider)
    )
    return tuple(found.scalars())


def _filings() -> Select[Any]:
    return (
        select(
            domains.c.domain,
            domains.c.status,
            domains.c.licence.label("number"),
            domains.c.changed_at,
            domains.c.revision,
            domains.c.service_id,
            services.c.name.label("service"),
            services.c.kind.label("service_kind"),
            subjects.c.licence,
            subjects.c.name,
            subjects.c.kind,
            subjects.c.province,
            subjects.c.account,
        )
        .outerjoin(services, services.c.id == domains.c.service_id)
        .outerjoin(subjects, subjects.c.id == services.c.subject_id)
        .order_by(domains.c.domain)
    )


def _conditions(connection: Connection, query: FilingQuery) -> list[ColumnElement[bool]]:
    """What rows of domains, services and subjects must fulfil."""
    found: list[ColumnElement[bool]] = []
    of_services: list[ColumnElement[bool]] = []
    if query.text is not None:
        domain, of_text = _meant(query.text.strip())
        found += domain
        of_services += of_text
    if query.domain is not None:
        found.append(domains.c.domain == fileable_domain(query.domain))
    if query.licence is not None:
        of_services += _numbered(query.licence)
    if query.subject is not None:
        of_services.append(subjects.c.name.icontains(query.subject, autoescape=True))
    if query.account is not None:
        of_services.append(subjects.c.account == query.account)
    if query.status is not None:
        found.append(domains.c.status == query.status)
    return found + _of_few(connection, of_services)


def _of_few(
    connection: Connection, conditions: list[ColumnElement[bool]]
) -> list[ColumnElement[bool]]:
    """Conditions on services and subjects, as a list of services if it is short.

    Left to itself a database walks through all domains in order, to find the first page of a few.
    """
    if not conditions:
        return []
    some = connection.execute(
        select(services.c.id)
        .join(subjects, subjects.c.id == services.c.subject_id)
        .where(
            services.c.cancelled_at.is_(None),
            subjects.c.cancelled_at.is_(None),  # what the indexes of subjects are for
            *conditions,
        )
        .limit(_FEW + 1)
    ).scalars()
    few = list(some)
    return conditions if len(few) > _FEW else [domains.c.service_id.in_(few)]


def _meant(text: str) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """What a person typed into one search box: conditions on domains, and on services."""
    if "ICP" in text:
        return [], _numbered(text)
    if "." in text:
        try:
            return [domains.c.domain == fileable_domain(text)], []
        except RegistryError:
            pass  # a dot may stand in a subject's name, too
    return [], [subjects.c.name.icontains(text, autoescape=True)]


def _numbered(text: str) -> list[ColumnElement[bool]]:
    number = parse_licence(text)
    if not isinstance(number, ServiceNumber):
        return [subjects.c.licence == str(number)]
    return [
        subjects.c.licence == str(number.subject),
        services.c.kind == number.kind.value,
        services.c.site == number.site,
    ]


def _show(connection: Connection, rows: Sequence[Row[Any]]) -> list[FilingView]:
    ids = {row.service_id for row in rows if row.service_id is not None}
    providers = _grouped(connection, accesses.c.service_id, accesses.c.provider, ids)
    return [
        FilingView(
            domain=row.domain,
            display=to_display(row.domain),
            status=row.status,
            licence=row.number,
            service=row.service,
            kind=ServiceKind(row.service_kind) if row.service_kind else None,
            subject=_subject(row) if row.licence else None,
            providers=providers.get(row.service_id, ()),
            changed_at=row.changed_at,
            revision=row.revision,
        )
        for row in rows
    ]


def _subject(row: Row[Any]) -> SubjectView:
    return SubjectView(
        licence=row.licence,
        name=row.name,
        kind=SubjectKind(row.kind),
        province=row.province,
        account=row.account,
    )


def _grouped(
    connection: Connection, key: ColumnElement[Any], value: ColumnElement[Any], keys: Iterable[int]
) -> dict[int, tuple[str, ...]]:
    """Values by key, in order, for the keys given."""
    rows = connection.execute(select(key, value).where(key.in_(list(keys))).order_by(key, value))
    found: dict[int, tuple[str, ...]] = {}
    for number, text in rows:
        found[number] = (*found.get(number, ()), text)
    return found


def _application(row: Row[Any]) -> ApplicationView:
    model = FirstFiling if row.kind == FirstFiling.operation else NewService
    request: FirstFiling | NewService = model.model_validate_json(row.request)
    if request.subject is not None and request.subject.certificate is not None:
        hidden = request.subject.model_copy(update={"certificate": "…"})
        request = request.model_copy(update={"subject": hidden})
    return ApplicationView(
        id=row.id,
        kind=row.kind,
        state=row.state,
        request=request,
        submitted_at=row.submitted_at,
        submitted_by=row.submitted_by,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        reason=row.reason,
        licence=row.licence,
    )
