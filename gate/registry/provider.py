"""Whose registry a database is: the access provider in whose eyes its domains are `filed`.

It is written down with the first change, or by the first service that runs on the database. From
then on nobody works on it in another's name: a change would close what is filed. Another name is a
change of every domain's status, and so an operation of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, case, select, update

from gate.filings import Change, Status
from gate.registry import log
from gate.registry.errors import RegistryError
from gate.registry.operations import overriding
from gate.registry.operations.work import Work
from gate.registry.schema import accesses, domains, log_head, services

_BATCH: Final = 5_000
_EXAMPLES: Final = 3


def provider_of(connection: Connection) -> str | None:
    """Return whose registry the database is; None where nobody has said so yet."""
    return connection.execute(select(log_head.c.provider)).scalar()


def own(connection: Connection, provider: str) -> None:
    """Make sure that the database is `provider`'s; it becomes so if it was nobody's.

    Raises RegistryError `provider_differs`.
    """
    found = provider_of(connection)
    if found == provider:
        return
    if found is None:
        filed_with = _providers_of_filed(connection)
        if not filed_with or provider in filed_with:
            connection.execute(update(log_head).values(provider=provider))
            return
        found = " / ".join(filed_with)
    raise RegistryError("provider_differs", field="provider", provider=provider, found=found)


def _providers_of_filed(connection: Connection) -> tuple[str, ...]:
    """Return the providers of some domain that is `filed`; one of them is the registry's own."""
    some = select(domains.c.service_id).where(domains.c.status == Status.FILED.value).limit(1)
    found = connection.execute(
        select(accesses.c.provider)
        .where(accesses.c.service_id == some.scalar_subquery())
        .order_by(accesses.c.provider)
    )
    return tuple(found.scalars())


@dataclass(slots=True, frozen=True)
class ProviderMove:
    """What another provider's name changes."""

    opening: int
    closing: int
    closed: tuple[str, ...]
    """Some of the domains that close."""


def move(work: Work, provider: str) -> ProviderMove:
    """Make the database another provider's, in a write transaction with the log's head locked.

    Each domain's status becomes what it is in the eyes of `provider`, by batches in the log.
    """
    connection, head, now = work.connection, work.head, work.now
    opening = closing = 0
    closed: list[str] = []
    rows = _seen_by(connection, provider)
    while chunk := list(islice(rows, _BATCH)):
        changes = [Change(row.domain, Status(row.wanted), row.licence, now) for row in chunk]
        connection.execute(
            update(domains)
            .where(domains.c.domain == bindparam("name"))
            .values(
                status=bindparam("new_status"), changed_at=now, revision=bindparam("at_revision")
            ),
            [
                {"name": c.domain, "new_status": c.status.value, "at_revision": head.revision + n}
                for n, c in enumerate(changes, 1)
            ],
        )
        part = replace(work, head=head, changes=changes)
        overriding.cover(part)
        changes = part.changes
        head = log.append(connection, head, "change_provider", changes, now)
        opening += sum(c.status is Status.FILED for c in changes)
        gone = [c.domain for c in changes if c.status is not Status.FILED]
        closing += len(gone)
        closed += gone[: _EXAMPLES - len(closed)]
    connection.execute(update(log_head).values(provider=provider))
    return ProviderMove(opening, closing, tuple(closed))


def _seen_by(connection: Connection, provider: str) -> Iterator[Row[tuple[str, str, str]]]:
    """Return the domains that are something else in the eyes of `provider`, in order."""
    own_access = accesses.alias()
    accessed: ColumnElement[str] = case(
        (own_access.c.service_id.is_not(None), Status.FILED.value),
        else_=Status.FILED_ELSEWHERE.value,
    )
    query = (
        select(domains.c.domain, domains.c.licence, accessed.label("wanted"))
        .join(services, services.c.id == domains.c.service_id)
        .outerjoin(
            own_access,
            and_(own_access.c.service_id == services.c.id, own_access.c.provider == provider),
        )
        .where(services.c.suspended.is_(False), domains.c.status != accessed)
        .order_by(domains.c.domain)
    )
    # Read whole: the rows are changed while they are gone through.
    return iter(connection.execute(query).all())
