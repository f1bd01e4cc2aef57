"""Since when a subject has had no service (空壳主体): kept in its row as services come and go.

What ends a service, or gives one to a subject that was on record, says so here in its transaction.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select, update

from gate.registry.schema import services, subjects


def left_hollow(connection: Connection, ended: Collection[int]) -> None:
    """Note which subjects are left without a service, now that some services have ended."""
    its = services.c.subject_id == subjects.c.id
    live = select(services.c.id).where(its, services.c.cancelled_at.is_(None))
    last = select(func.max(services.c.cancelled_at)).where(its).scalar_subquery()
    whose = select(services.c.subject_id).where(services.c.id.in_(ended))
    connection.execute(
        update(subjects).where(subjects.c.id.in_(whose), ~live.exists()).values(hollow_since=last)
    )


def hollow_no_more(connection: Connection, filled: Collection[int]) -> None:
    """Note that subjects have been given a service."""
    connection.execute(
        update(subjects)
        .where(subjects.c.id.in_(filled), subjects.c.hollow_since.is_not(None))
        .values(hollow_since=None)
    )
