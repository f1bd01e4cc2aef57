"""Subjects left hollow (空壳主体): on record, and without any service.

`subjects.hollow_since` says so (`gate.registry.operations.hollowing`), so that a list of the few
needs no look at the many.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from gate.registry.schema import HOLLOW, subjects
from gate.registry.sightings.views import HollowSubject


def find_hollow(
    connection: Connection, *, after: str, limit: int, with_account: bool = False
) -> list[HollowSubject]:
    """Return live subjects without a live service, by their numbers, beyond `after`."""
    query = (
        select(subjects)
        .where(HOLLOW, subjects.c.licence > after)
        .order_by(subjects.c.licence)
        .limit(limit)
    )
    if with_account:
        query = query.where(subjects.c.account.is_not(None))
    return [
        HollowSubject(
            licence=row.licence, name=row.name, account=row.account, since=row.hollow_since
        )
        for row in connection.execute(query)
    ]


def count_hollow(connection: Connection) -> int:
    """Return how many live subjects have no live service."""
    query = select(func.count()).select_from(subjects).where(HOLLOW)
    return connection.execute(query).scalar_one()
