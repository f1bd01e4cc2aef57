"""The registry's tables: one schema for SQLite and PostgreSQL.

Ids are given out by the program (highest + 1) inside write transactions, which all hold the lock
on the log's head, so that both databases behave alike. Rows are closed (`cancelled_at`), not
deleted. Times are whole seconds since 1970, UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Ordered byte by byte in both databases: snapshots and pages rely on it.
Bytewise: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
Id: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")

_LIVE = text("cancelled_at IS NULL")
_WAITING = text("state = 'submitted' AND kind = 'first_filing'")

subjects = Table(
    "subjects",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("licence", Bytewise, nullable=False),
    Column("province", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    # The provider's account; null for a subject known only through other providers.
    Column("account", Bytewise),
    Column("certificate", Bytewise),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("cancelled_at", BigInteger),
    CheckConstraint("kind IN ('unit', 'person')", name="kind"),
)
for _column in (subjects.c.licence, subjects.c.account, subjects.c.certificate):
    # Binds live subjects only: a cancelled one gives its account and numbers back.
    Index(
        f"ix_subjects_live_{_column.name}",
        _column,
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )

services = Table(
    "services",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("subject_id", Id, ForeignKey("subjects.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("site", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("cancelled_at", BigInteger),
    CheckConstraint("kind IN ('website', 'app')", name="kind"),
    Index("ix_services_subject_id", "subject_id"),
)
Index(
    "ix_services_live_number",
    services.c.subject_id,
    services.c.kind,
    services.c.site,
    unique=True,
    sqlite_where=_LIVE,
    postgresql_where=_LIVE,
)

accesses = Table(
    "accesses",
    metadata,
    Column("service_id", Id, ForeignKey("services.id"), primary_key=True),
    Column("provider", Bytewise, primary_key=True),
    Column("since", BigInteger, nullable=False),
)

# One row for each domain that is or ever was filed: the state that gates hold.
domains = Table(
    "domains",
    metadata,
    Column("domain", Bytewise, primary_key=True),
    Column("status", Text, nullable=False),
    Column("licence", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # Null once the domain is absent.
    Column("service_id", Id, ForeignKey("services.id")),
    CheckConstraint("status IN ('filed', 'filed_elsewhere', 'suspended', 'absent')", name="status"),
    CheckConstraint("(status = 'absent') = (service_id IS NULL)", name="holder"),
    Index("ix_domains_service_id", "service_id"),
    sqlite_with_rowid=False,
)

applications = Table(
    "applications",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("account", Bytewise),
    Column("request", Text, nullable=False),
    Column("submitted_at", BigInteger, nullable=False),
    Column("submitted_by", Text, nullable=False),
    Column("decided_at", BigInteger),
    Column("decided_by", Text),
    Column("reason", Text, nullable=False),
    Column("licence", Text, nullable=False),
    CheckConstraint("kind IN ('first_filing', 'new_service')", name="kind"),
    CheckConstraint("state IN ('submitted', 'approved', 'rejected')", name="state"),
    Index("ix_applications_state", "state", "id"),
)
Index(
    "ix_applications_waiting_account",
    applications.c.account,
    unique=True,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)

# Domains that an application waits for: each at most once.
reservations = Table(
    "reservations",
    metadata,
    Column("domain", Bytewise, primary_key=True),
    Column("application_id", Id, ForeignKey("applications.id"), nullable=False),
    Index("ix_reservations_application_id", "application_id"),
)

log_head = Table(
    "log_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # Batches are kept from this revision on: the lowest that `since` may name.
    Column("oldest", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="single"),
)

# One row for each batch: an operation, or a chunk of an import.
log = Table(
    "log",
    metadata,
    Column("to_revision", Id, primary_key=True, autoincrement=False),
    Column("from_revision", BigInteger, nullable=False, unique=True),
    Column("operation", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("changes", LargeBinary, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Bytewise, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    CheckConstraint("role IN ('reader', 'registrar', 'admin')", name="role"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
)

imports = Table(
    "imports",
    metadata,
    # SHA-256 of the file, in hex.
    Column("digest", Bytewise, primary_key=True),
    Column("name", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    # Where to go on: bytes and lines of the file that are done.
    Column("offset", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("unchanged", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    CheckConstraint("state IN ('running', 'done')", name="state"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("digest", Bytewise, ForeignKey("imports.digest"), primary_key=True),
    Column("line", BigInteger, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False),
    Column("zh", Text, nullable=False),
    Column("en", Text, nullable=False),
)

# Answers given under an Idempotency-Key, so that a repeated request is answered alike.
answers = Table(
    "answers",
    metadata,
    Column("actor", Bytewise, primary_key=True),
    Column("key", Bytewise, primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("answer", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Index("ix_answers_time", "time"),
)

# What gates report: blocked names that visitors ask for, one row for each name and gate.
unfiled = Table(
    "unfiled",
    metadata,
    Column("name", Bytewise, primary_key=True),
    Column("gate", Bytewise, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Index("ix_unfiled_last_seen", "last_seen"),
    sqlite_with_rowid=False,
)
