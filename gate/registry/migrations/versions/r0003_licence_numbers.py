"""Licence numbers as they exist: mini-programs and quick apps, and one series for each province.

Numbers that 0.1.0 wrote with a province's other abbreviation (川, 贵, 云, 秦, 甘) become those in
the issued form (蜀, 黔, 滇, 陕, 陇). What that changes for the gates goes into the log, as any
other change does. A number whose issued form belongs to another live subject stays, and
`gate registry verify` names its domains.

Revises: 0002.
"""

import json
import time
import zlib

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BEFORE = "kind IN ('website', 'app')"
_AFTER = "kind IN ('website', 'app', 'mini_program', 'quick_app')"
_ISSUED = {"川": "蜀", "贵": "黔", "云": "滇", "秦": "陕", "甘": "陇"}
_BATCH = 5_000


def upgrade() -> None:
    connection = op.get_bind()
    _widen_kinds(connection)
    _rename_subjects(connection)
    _rename_domains(connection)


def _widen_kinds(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_services_kind"), "services", type_="check")
        op.create_check_constraint(op.f("ck_services_kind"), "services", _AFTER)
        return
    # A table with rows that point to it can't be made anew in a transaction; a constraint that
    # changes nothing on the disk may be rewritten in place (SQLite, "ALTER TABLE", section 7).
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = 'services'",
        (_BEFORE, _AFTER),
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")


def _rename_subjects(connection: sa.Connection) -> None:
    subjects = sa.table(
        "subjects",
        sa.column("id", sa.BigInteger),
        sa.column("licence", sa.Text),
        sa.column("province", sa.Text),
        sa.column("cancelled_at", sa.BigInteger),
    )
    query = sa.select(subjects).where(subjects.c.province.in_(list(_ISSUED)))
    for row in connection.execute(query).all():
        issued = _issued(row.licence)
        taken = connection.execute(
            sa.select(subjects.c.id).where(
                subjects.c.licence == issued, subjects.c.cancelled_at.is_(None)
            )
        ).first()
        if taken is None or row.cancelled_at is not None:
            connection.execute(
                sa.update(subjects)
                .where(subjects.c.id == row.id)
                .values(licence=issued, province=issued[0])
            )


def _rename_domains(connection: sa.Connection) -> None:
    """Give live domains the number of their subject, in batches of the log."""
    rows = connection.exec_driver_sql(
        "SELECT d.domain, d.status, d.licence, s.licence FROM domains d "
        "JOIN services v ON v.id = d.service_id JOIN subjects s ON s.id = v.subject_id "
        "WHERE substr(d.licence, 1, 1) <> substr(s.licence, 1, 1) ORDER BY d.domain"
    ).all()
    now = int(time.time())
    for start in range(0, len(rows), _BATCH):
        changes = [
            [domain, status, _issued(licence), now]
            for domain, status, licence, _ in rows[start : start + _BATCH]
        ]
        _append(connection, changes, now)


def _append(connection: sa.Connection, changes: list[list[object]], now: int) -> None:
    head = sa.table("log_head", sa.column("revision", sa.BigInteger), sa.column("changed_at"))
    log = sa.table(
        "log",
        sa.column("to_revision"),
        sa.column("from_revision"),
        sa.column("operation"),
        sa.column("changed_at"),
        sa.column("changes", sa.LargeBinary),
    )
    domains = sa.table(
        "domains",
        sa.column("domain"),
        sa.column("licence"),
        sa.column("changed_at"),
        sa.column("revision"),
    )
    at = connection.execute(sa.select(head.c.revision).with_for_update()).scalar_one()
    text = json.dumps(changes, ensure_ascii=False, separators=(",", ":"))
    connection.execute(
        sa.insert(log).values(
            to_revision=at + len(changes),
            from_revision=at,
            operation="migrate",
            changed_at=now,
            changes=zlib.compress(text.encode(), 1),
        )
    )
    connection.execute(sa.update(head).values(revision=at + len(changes), changed_at=now))
    connection.execute(
        sa.update(domains)
        .where(domains.c.domain == sa.bindparam("name"))
        .values(licence=sa.bindparam("number"), changed_at=now, revision=sa.bindparam("at")),
        [
            {"name": domain, "number": number, "at": at + place}
            for place, (domain, _, number, _) in enumerate(changes, 1)
        ],
    )


def _issued(licence: str) -> str:
    return _ISSUED.get(licence[:1], licence[:1]) + licence[1:]
