"""A list that is all there is: cancelling what it leaves out.

Of the domains that have an access filing with this registry's own provider. What is filed with
other providers only is not what such a list is about, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from itertools import islice
from typing import Final

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from gate.filings import Change, Status
from gate.registry import log
from gate.registry.errors import RegistryError
from gate.registry.log import Head
from gate.registry.operations import overriding
from gate.registry.operations.hollowing import left_hollow
from gate.registry.operations.work import Work
from gate.registry.schema import accesses, domains, services

_BATCH: Final = 5_000
_EXAMPLES: Final = 3


def check_closing(connection: Connection, listed: Set[str], *, max_shrink: float) -> None:
    """Make sure that a list leaves out no more than a share of what is filed.

    Raises RegistryError `import_shrinks`.
    """
    query = select(domains.c.domain).where(domains.c.status == Status.FILED.value)
    filed = closing = 0
    examples: list[str] = []
    for domain in connection.execute(query.order_by(domains.c.domain)).scalars():
        filed += 1
        if domain not in listed:
            closing += 1
            if len(examples) < _EXAMPLES:
                examples.append(domain)
    if closing > max_shrink * filed:
        raise RegistryError(
            "import_shrinks",
            closing=closing,
            filed=filed,
            examples=", ".join(examples),
            share=f"{max_shrink:.0%}",
        )


def left_out(connection: Connection, listed: Set[str]) -> list[tuple[str, int]]:
    """Return the domains filed with this provider that a list leaves out, each with its service."""
    own = (Status.FILED.value, Status.SUSPENDED.value)
    query = select(domains.c.domain, domains.c.service_id).where(domains.c.status.in_(own))
    rows = connection.execute(query.order_by(domains.c.domain))
    return [(domain, service) for domain, service in rows if domain not in listed]


def cancel(work: Work, head: Head, gone: Sequence[tuple[str, int]]) -> Head:
    """Cancel domains, and the services that are left without one; return the log's head after it.

    `head` is where the log stands in this transaction.
    """
    connection = work.connection
    for batch in _batches(gone):
        changes = [Change(domain, Status.ABSENT, "", work.now) for domain, _ in batch]
        connection.execute(
            update(domains)
            .where(domains.c.domain == bindparam("name"))
            .values(
                status=Status.ABSENT.value,
                licence="",
                service_id=None,
                changed_at=work.now,
                revision=bindparam("at_revision"),
            ),
            [
                {"name": change.domain, "at_revision": head.revision + number}
                for number, change in enumerate(changes, 1)
            ],
        )
        touched = {service for _, service in batch}
        empty = list(
            connection.execute(
                select(services.c.id).where(
                    services.c.id.in_(touched),
                    ~exists().where(domains.c.service_id == services.c.id),
                )
            ).scalars()
        )
        connection.execute(delete(accesses).where(accesses.c.service_id.in_(empty)))
        connection.execute(
            update(services)
            .where(services.c.id.in_(empty))
            .values(cancelled_at=work.now, changed_at=work.now)
        )
        left_hollow(connection, empty)
        part = replace(work, head=head, changes=changes)
        overriding.cover(part)
        head = log.append(connection, head, "import", part.changes, work.now)
    return head


def _batches(rows: Sequence[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    source = iter(rows)
    while batch := list(islice(source, _BATCH)):
        yield batch
