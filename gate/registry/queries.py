"""Reading the records: search by domain, licence number or subject, page by page.

A page ends with a cursor, the key of its last row; the next page begins after it, so that rows
which come and go in between are neither skipped nor shown twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select

from gate.filings import Status
from gate.licence import ServiceKind, ServiceNumber, looks_like_licence
from gate.names import InvalidName, canonical, parents, to_display
from gate.registry.commands import FirstFiling, NewService, SubjectKind
from gate.registry.errors import RegistryError
from gate.registry.fields import fileable_domain, folded, parse_licence, parse_subject
from gate.registry.orders.kinds import OrderType
from gate.registry.schema import (
    accesses,
    audit,
    domains,
    imports,
    orders,
    overrides,
    refusals,
    services,
    subjects,
)
from gate.registry.views import (
    ApplicationView,
    AuditView,
    FilingView,
    FleetOverrideView,
    ImportView,
    RefusalView,
    ServiceView,
    SubjectDetail,
    SubjectView,
)
from gate.registry.workflow.applications import STATES
from gate.registry.workflow.effects import first_filing, new_service
from gate.registry.workflow.record import read_order

_FEW: Final = 1_000
_LIKE_SIGNS: Final = re.compile(r"[\\%_]")
_LITERALLY: Final = r"\\\g<0>"
_BEHIND: Final = "{"
"""Sorts behind every character of a domain."""


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
    page = _filings().where(domains.c.domain > after).limit(limit)
    rows = list(connection.execute(page.where(*_conditions(connection, query))).all())
    beginning = _beginning(query.text)
    if beginning is not None:
        # A search of its own, so that each has its index; what only one finds comes in order.
        named = replace(query, text=None)
        # One lower bound: of two, a database may take the one that leaves it everything to read.
        lower = domains.c.domain > after if after >= beginning else domains.c.domain >= beginning
        begun = (lower, domains.c.domain < beginning + _BEHIND)
        seen = {row.domain for row in rows}
        fits = (*begun, *_conditions(connection, named))
        more = connection.execute(_filings().where(*fits).limit(limit))
        rows += [row for row in more if row.domain not in seen]
        rows = sorted(rows, key=lambda row: row.domain.encode())[:limit]
    return _show(connection, rows)


def filing(connection: Connection, domain: str) -> FilingView:
    """Return the record that decides on a domain: its own, or that of the nearest one above it.

    Raises RegistryError `domain_unknown` or `domain_invalid`.
    """
    name = fileable_domain(domain)
    above = list(parents(name))
    rows = connection.execute(_filings().where(domains.c.domain.in_(above))).all()
    if not rows:
        raise RegistryError("domain_unknown", field="domain", domain=name)
    # As gates judge: what is absent decides nothing where something else does.
    nearest = max(rows, key=lambda row: (row.status != Status.ABSENT.value, len(row.domain)))
    return _show(connection, [nearest])[0]


def subject(connection: Connection, licence: str) -> SubjectDetail:
    """Return a live subject with its services. Raises RegistryError `licence_unknown`."""
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
    """Return applications in order of their numbers, beyond `after`."""
    query = select(orders).where(orders.c.origin == "operation", orders.c.id > after)
    if state is not None:
        named = [one.value for one, name in STATES.items() if name == state]
        query = query.where(orders.c.state.in_(named))
    rows = connection.execute(query.order_by(orders.c.id).limit(limit))
    return [_application(row) for row in rows]


def application(connection: Connection, number: int) -> ApplicationView:
    """Return one application. Raises RegistryError `application_unknown`."""
    row = connection.execute(
        select(orders).where(orders.c.id == number, orders.c.origin == "operation")
    ).one_or_none()
    if row is None:
        raise RegistryError("application_unknown", field="application", application=number)
    return _application(row)


@dataclass(slots=True, frozen=True)
class AuditFilter:
    """Which lines of the audit trail; every part that is given must fit.

    `text` is a part of what was done, to what, by whom, or with which details. `newest` has the
    last line come first.
    """

    text: str | None = None
    newest: bool = False


def find_audit(
    connection: Connection, query: AuditFilter = AuditFilter(), *, after: int, limit: int
) -> list[AuditView]:
    """Return lines of the audit trail in order, beyond line `after` (0 for the beginning)."""
    page = select(audit).limit(limit)
    if query.newest:
        page = page.order_by(audit.c.id.desc())
        if after:
            page = page.where(audit.c.id < after)
    else:
        page = page.order_by(audit.c.id).where(audit.c.id > after)
    if query.text is not None:
        places = (audit.c.operation, audit.c.target, audit.c.actor, audit.c.detail)
        page = page.where(or_(*(place.icontains(query.text, autoescape=True) for place in places)))
    return [AuditView(**row._mapping) for row in connection.execute(page)]


def import_progress(connection: Connection, digest: str) -> ImportView:
    """Return how far an import is. Raises RegistryError `import_unknown`."""
    row = connection.execute(select(imports).where(imports.c.digest == digest)).one_or_none()
    if row is None:
        raise RegistryError("import_unknown", field="digest", digest=digest[:64])
    values = dict(row._mapping)
    del values["actor"]
    return ImportView(**values)


def find_refusals(
    connection: Connection, digest: str, *, after: int, limit: int
) -> list[RefusalView]:
    """Return lines that an import refused, in order, beyond line `after`."""
    rows = connection.execute(
        select(refusals.c.line, refusals.c.code, refusals.c.zh, refusals.c.en)
        .where(refusals.c.digest == digest, refusals.c.line > after)
        .order_by(refusals.c.line)
        .limit(limit)
    )
    return [RefusalView(**row._mapping) for row in rows]


def count_domains(connection: Connection) -> int:
    """Return how many domains are on record, absent ones included."""
    return connection.execute(select(func.count()).select_from(domains)).scalar_one()


def count_filed(connection: Connection) -> int:
    """Return how many domains are `filed`."""
    query = select(func.count()).select_from(domains)
    return connection.execute(query.where(domains.c.status == Status.FILED.value)).scalar_one()


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
    """Return what rows of domains, services and subjects must fulfil."""
    found: list[ColumnElement[bool]] = []
    of_services: list[ColumnElement[bool]] = []
    if query.text is not None:
        domain, of_text = _meant(connection, query.text.strip())
        found += domain
        of_services += of_text
    if query.domain is not None:
        found.append(domains.c.domain == fileable_domain(query.domain))
    if query.licence is not None:
        of_services += _numbered(query.licence)
    if query.subject is not None:
        of_services.append(_named(connection, query.subject))
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
    query = (
        select(services.c.id)
        .select_from(subjects)
        .join(services, services.c.subject_id == subjects.c.id)
        .where(
            services.c.cancelled_at.is_(None),
            subjects.c.cancelled_at.is_(None),  # what the indexes of subjects are for
            *conditions,
        )
        .limit(_FEW + 1)
    )
    few = list(connection.execute(query).scalars())
    return conditions if len(few) > _FEW else [domains.c.service_id.in_(few)]


def _meant(
    connection: Connection, text: str
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Return what a person typed into one search box: conditions on domains, and on services."""
    if looks_like_licence(text):
        return [], _numbered(text)
    if "." in text:
        try:
            return [domains.c.domain.in_(list(parents(fileable_domain(text))))], []
        except RegistryError:
            pass  # a dot may stand in a subject's name, too
    return [], [_named(connection, text)]


def _named(connection: Connection, text: str) -> ColumnElement[bool]:
    """Return the condition that a subject's name has a text in it, in capitals or not.

    A list of subjects, if it is short: their names are looked through in an index of their own.
    """
    part = folded(text)
    condition: ColumnElement[bool]
    if connection.dialect.name == "sqlite":
        condition = func.instr(subjects.c.folded, part) > 0
    else:  # with `pg_trgm` by its index
        condition = subjects.c.folded.like(f"%{_LIKE_SIGNS.sub(_LITERALLY, part)}%")
    named = select(subjects.c.id).where(subjects.c.cancelled_at.is_(None), condition)
    few = list(connection.execute(named.limit(_FEW + 1)).scalars())
    return condition if len(few) > _FEW else subjects.c.id.in_(few)


def _beginning(text: str | None) -> str | None:
    """Return what domains begin with that a person means, if it may be the beginning of one."""
    word = "" if text is None else text.strip()
    if not word or looks_like_licence(word) or word.startswith("."):
        return None
    try:
        return canonical(f"{word.rstrip('.')}.cn".encode()).name.removesuffix(".cn")
    except InvalidName:
        return None


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
    over = {one.domain: one for one in fleet_overrides(connection, [row.domain for row in rows])}
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
            override=over.get(row.domain),
        )
        for row in rows
    ]


def fleet_overrides(
    connection: Connection, names: Sequence[str] | None = None
) -> list[FleetOverrideView]:
    """Return what operators decided for every gate, by domain; for some domains only, if given."""
    query = select(overrides).order_by(overrides.c.domain)
    if names is not None:
        query = query.where(overrides.c.domain.in_(names))
    return [
        FleetOverrideView(
            domain=row.domain,
            kind=row.kind,
            until=row.until,
            reason=row.reason,
            by=row.made_by,
            since=row.since,
            status=row.status,
            revision=row.revision,
        )
        for row in connection.execute(query)
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
    order = read_order(row)
    first = order.type is OrderType.FIRST_FILING
    request: FirstFiling | NewService = (
        first_filing(order)
        if first
        else new_service(order, order.entry.items[0], order.entry.subject.licence or "")
    )
    if request.subject is not None and request.subject.certificate is not None:
        hidden = request.subject.model_copy(update={"certificate": "…"})
        request = request.model_copy(update={"subject": hidden})
    return ApplicationView(
        id=order.id,
        kind="first_filing" if first else "new_service",
        state=STATES[order.state],
        request=request,
        submitted_at=order.submitted_at or order.made_at,
        submitted_by=order.submitted_by,
        decided_at=order.decided_at,
        decided_by=order.decided_by or None,
        reason=order.reason,
        licence=order.licence,
    )
