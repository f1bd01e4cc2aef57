"""What became of a domain: its changes in the log, who made each, and the orders about it.

The log keeps a bounded number of changes, so an old domain's history may begin in the middle; the
orders' events are kept for good.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from sqlalchemy import Connection, select

from gate.registry import log
from gate.registry.fields import fileable_domain
from gate.registry.orders.states import Event
from gate.registry.schema import audit, order_events, order_items
from gate.registry.schema import log as batches
from gate.registry.views import HistoryLine, HistoryView


def history(connection: Connection, domain: str) -> HistoryView:
    """Return what became of a domain, the first thing first.

    Raises RegistryError `domain_invalid`. Reads the whole log: a second for a million changes.
    """
    name = fileable_domain(domain)
    lines = [*_changes(connection, name), *_order_steps(connection, name)]
    lines.sort(key=lambda line: (line.time, line.revision or 0))
    return HistoryView(domain=name, log_begins_at=log.head(connection).oldest, items=tuple(lines))


def _changes(connection: Connection, name: str) -> Iterator[HistoryLine]:
    """Yield the changes of a domain that are in the log."""
    written = f'["{name}",'.encode()
    rows = connection.execution_options(yield_per=16).execute(
        select(
            batches.c.from_revision, batches.c.to_revision, batches.c.operation, batches.c.changes
        ).order_by(batches.c.to_revision)
    )
    found: list[tuple[int, HistoryLine]] = []
    for first, last, operation, packed in rows:
        if written not in zlib.decompress(packed):
            continue
        found += [
            (
                last,
                HistoryLine(
                    time=change.time,
                    revision=number,
                    what=operation,
                    status=change.status.value,
                    licence=change.licence,
                ),
            )
            for number, change in enumerate(log.decode(packed), first + 1)
            if change.domain == name
        ]
    actors = _actors(connection, {last for last, _ in found})
    for last, line in found:
        yield line.model_copy(update={"actor": actors.get(last, "")})


def _actors(connection: Connection, revisions: set[int]) -> dict[int, str]:
    """Return who made the batches that end at some revisions, as the audit trail has it."""
    rows = connection.execute(
        select(audit.c.revision, audit.c.actor)
        .where(audit.c.revision.in_(sorted(revisions)))
        .order_by(audit.c.id.desc())
    )
    # What came later and changed nothing has the same revision: the first line is the one.
    return {row.revision: row.actor for row in rows}


def _order_steps(connection: Connection, name: str) -> Iterator[HistoryLine]:
    """Yield what happened to the orders that name a domain."""
    about = select(order_items.c.order_id).where(order_items.c.target == name)
    rows = connection.execute(
        select(order_events)
        .where(order_events.c.order_id.in_(about))
        .order_by(order_events.c.order_id, order_events.c.number)
    )
    for row in rows:
        yield HistoryLine(
            time=row.time,
            what=row.event,
            what_zh=Event(row.event).zh,
            actor=row.actor,
            order=row.order_id,
            state=row.state,
        )
