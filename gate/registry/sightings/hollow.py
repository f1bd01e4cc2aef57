"""Subjects left hollow (空壳主体): on record, and without any service."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, and_, func, select

from gate.registry.schema import services, subjects
from gate.registry.sightings.views import HollowSubject

_HOLLOW: Final = and_(
    subjects.c.cancelled_at.is_(None),
    ~select(services.c.id)
    .where(services.c.subject_id == subjects.c.id, services.c.cancelled_at.is_(None))
    .exists(),
)
"""A live subject without a live service."""


def find_hollow(
    connection: Connection, *, after: str, limit: int, with_account: bool = False
) -> list[HollowSubject]:
    """Return live subjects without a live service, by their numbers, beyond `after`."""
    ended = (
        select(func.max(services.c.cancelled_at))
        .where(services.c.subject_id == subjects.c.id)
        .scalar_subquery()
    )
    query = (
        select(subjects, ended.label("ended"))
        .where(_HOLLOW, subjects.c.licence > after)
        .order_by(subjects.c.licence)
        .limit(limit)
    )
    if with_account:
        query = query.where(subjects.c.account.is_not(None))
    return [
        HollowSubject(
            licence=row.licence,
            name=row.name,
            account=row.account,
            since=row.created_at if row.ended is None else row.ended,
        )
        for row in connection.execute(query)
    ]


def count_hollow(connection: Connection) -> int:
    """Return how many live subjects have no live service."""
    query = select(func.count()).select_from(subjects).where(_HOLLOW)
    return connection.execute(query).scalar_one()
