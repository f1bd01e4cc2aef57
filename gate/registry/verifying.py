"""Checking a registry's database: do its records and its change log tell the same?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, and_, func, or_, select

from gate.filings import Change
from gate.licence import ServiceKind, ServiceNumber
from gate.registry import log
from gate.registry.fields import MAX_SITE_DOMAINS, domain_status, parse_subject
from gate.registry.schema import accesses, domains, overrides, services, subjects
from gate.registry.schema import log as log_table

_ROWS: Final = 5_000


def verify(connection: Connection, provider: str) -> Iterator[str]:
    """Yield every fault found, as a sentence; nothing for a sound database.

    Looked at in one state: the log has no gap and ends at its head; the last kept change of each
    domain is what is on record, or what an operator decided over it; each domain's status and
    licence number are those of its service, subject and access filings; a subject is noted as
    hollow if, and since, it has no service.
    """
    head = log.head(connection)
    last: dict[str, tuple[int, Change]] = {}
    yield from _check_log(connection, head, last)
    yield from _check_domains(connection, head, last)
    yield from _check_records(connection, provider)
    yield from _check_hollow(connection)


def _check_log(
    connection: Connection, head: log.Head, last: dict[str, tuple[int, Change]]
) -> Iterator[str]:
    at = head.oldest
    rows = connection.execution_options(yield_per=64).execute(
        select(log_table.c.from_revision, log_table.c.to_revision, log_table.c.changes).order_by(
            log_table.c.to_revision
        )
    )
    for first, end, packed in rows:
        if first != at:
            yield f"the log goes from revision {at} to {first}"
        changes = log.decode(packed)
        if len(changes) != end - first:
            yield f"the batch from {first} to {end} has {len(changes)} changes"
        for number, change in enumerate(changes, first + 1):
            last[change.domain] = (number, change)
        at = end
    if at != head.revision:
        yield f"the log ends at revision {at}, its head is {head.revision}"


def _check_domains(
    connection: Connection, head: log.Head, last: dict[str, tuple[int, Change]]
) -> Iterator[str]:
    seen = 0
    over = {row.domain: row for row in connection.execute(select(overrides))}
    rows = connection.execution_options(yield_per=_ROWS).execute(select(domains))
    for on_record in rows:
        row = over.get(on_record.domain, on_record)
        logged = last.get(row.domain)
        if logged is None:
            if row.revision > head.oldest:
                yield f"{row.domain} changed at revision {row.revision}, and the log has no such"
            continue
        seen += 1
        revision, change = logged
        told = (revision, change.status.value, change.licence, change.time)
        if told != (row.revision, row.status, row.licence, row.changed_at):
            yield f"{row.domain} is {row.status} {row.licence}, and the log says {change}"
    if seen != len(last):
        yield f"the log tells of {len(last) - seen} domains that are not on record"


def _check_records(connection: Connection, provider: str) -> Iterator[str]:
    own = select(accesses.c.service_id).where(accesses.c.provider == provider).subquery()
    rows = connection.execution_options(yield_per=_ROWS).execute(
        select(
            domains.c.domain,
            domains.c.status,
            domains.c.licence,
            subjects.c.licence.label("number"),
            services.c.kind,
            services.c.site,
            services.c.suspended,
            own.c.service_id.is_not(None).label("accessed"),
            services.c.cancelled_at,
        )
        .join(services, services.c.id == domains.c.service_id)
        .join(subjects, subjects.c.id == services.c.subject_id)
        .outerjoin(own, own.c.service_id == services.c.id)
    )
    for row in rows:
        subject = parse_subject(row.number)
        licence = str(ServiceNumber(subject, ServiceKind(row.kind), row.site))
        status = domain_status(accessed=row.accessed, suspended=row.suspended).value
        if (row.licence, row.status) != (licence, status) or row.cancelled_at is not None:
            yield f"{row.domain} is {row.status} {row.licence}, its service {status} {licence}"
    crowded = (
        select(services.c.id)
        .join(domains, domains.c.service_id == services.c.id, isouter=True)
        .where(services.c.cancelled_at.is_(None))
        .group_by(services.c.id, services.c.kind)
        .having(
            or_(
                func.count(domains.c.domain) == 0,
                and_(
                    services.c.kind == ServiceKind.WEBSITE.value,
                    func.count(domains.c.domain) > MAX_SITE_DOMAINS,
                ),
            )
        )
    )
    for (service,) in connection.execute(crowded):
        yield f"service {service} has no domain, or is a website with more than {MAX_SITE_DOMAINS}"


def _check_hollow(connection: Connection) -> Iterator[str]:
    """Yield where what is kept of a subject without services is not what its services tell."""
    live = func.count(services.c.id).filter(services.c.cancelled_at.is_(None))
    rows = connection.execution_options(yield_per=_ROWS).execute(
        select(
            subjects.c.licence,
            subjects.c.hollow_since,
            subjects.c.created_at,
            live.label("live"),
            func.max(services.c.cancelled_at).label("ended"),
        )
        .join(services, services.c.subject_id == subjects.c.id, isouter=True)
        .where(subjects.c.cancelled_at.is_(None))
        .group_by(subjects.c.id, subjects.c.licence, subjects.c.hollow_since, subjects.c.created_at)
        .having(or_(live == 0, subjects.c.hollow_since.is_not(None)))
    )
    for row in rows:
        since = None if row.live else row.created_at if row.ended is None else row.ended
        if since != row.hollow_since:
            yield f"{row.licence} is kept as hollow since {row.hollow_since}, and is since {since}"
