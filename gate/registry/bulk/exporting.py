"""Exporting every filing on record, as a file that an import takes back."""

from __future__ import annotations

from collections.abc import Generator
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, select

from gate.registry.bulk.files import FileFormat, write_header, write_row
from gate.registry.bulk.filing_row import ELSEWHERE
from gate.registry.database import Database
from gate.registry.schema import accesses, domains, services, subjects

_ROWS: Final = 2_000


def export_filings(database: Database, form: FileFormat) -> Generator[bytes]:
    """Yield the filings in order of domain, in pieces of some thousand lines.

    All pieces show one state of the database. Domains that are absent are left out. The
    certificate numbers are in it: give it to nobody who may not see them.
    """
    with database.read() as connection:
        yield write_header(form)
        after = ""
        while piece := _piece(connection, form, after):
            after, data = piece
            yield data


def _piece(connection: Connection, form: FileFormat, after: str) -> tuple[str, bytes] | None:
    rows = connection.execute(
        select(
            domains.c.domain,
            domains.c.status,
            domains.c.licence,
            domains.c.service_id,
            services.c.name.label("service"),
            subjects.c.name.label("subject"),
            subjects.c.kind,
            subjects.c.account,
            subjects.c.certificate,
        )
        .join(services, services.c.id == domains.c.service_id)
        .join(subjects, subjects.c.id == services.c.subject_id)
        .where(domains.c.domain > after)
        .order_by(domains.c.domain)
        .limit(_ROWS)
    ).all()
    if not rows:
        return None
    found = connection.execute(
        select(accesses.c.service_id, accesses.c.provider)
        .where(accesses.c.service_id.in_({row.service_id for row in rows}))
        .order_by(accesses.c.service_id, accesses.c.provider)
    )
    providers = {
        service: " ".join(row.provider for row in group)
        for service, group in groupby(found, key=lambda row: row.service_id)
    }
    lines = [
        write_row(
            form,
            {
                "domain": row.domain,
                "status": row.status,
                "licence": row.licence,
                "subject": row.subject,
                "subject_kind": row.kind,
                "account": row.account or "",
                "certificate": row.certificate or "",
                "service": row.service,
                # Without one, an import would take this registry's own for what is suspended.
                "providers": providers.get(row.service_id, ELSEWHERE),
            },
        )
        for row in rows
    ]
    return rows[-1].domain, b"".join(lines)
