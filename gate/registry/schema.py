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
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    case,
    false,
    text,
)
from sqlalchemy.sql.elements import Grouping
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
_OPEN = text("origin = 'order' AND state NOT IN ('done', 'withdrawn', 'abandoned')")
_WAITING = text("origin = 'operation' AND state = 'authority_review' AND type = 'first_filing'")
UNTAKEN = text("taken_at IS NULL")
_TIMED = text("timer_at IS NOT NULL")
_ESTIMATED = text("due_known_to IS NOT NULL")

# Of indexes; a query that is to have one says just these.
HOLLOW = text("cancelled_at IS NULL AND hollow_since IS NOT NULL")
FILED = text("status = 'filed'")

subjects = Table(
    "subjects",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("licence", Bytewise, nullable=False),
    Column("province", Text, nullable=False),
    Column("name", Text, nullable=False),
    # The name as it is searched: `gate.registry.fields.folded`.
    Column("folded", Text, nullable=False, server_default=""),
    Column("kind", Text, nullable=False),
    # The provider's account; null for a subject known only through other providers.
    Column("account", Bytewise),
    Column("certificate", Bytewise),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("cancelled_at", BigInteger),
    # Since when it has had no service; null while it has one. Means nothing once it is cancelled.
    Column("hollow_since", BigInteger),
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

# To look into every name without reading every row.
Index("ix_subjects_live_folded", subjects.c.folded, sqlite_where=_LIVE, postgresql_where=_LIVE)
Index("ix_subjects_hollow", subjects.c.licence, sqlite_where=HOLLOW, postgresql_where=HOLLOW)

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
    CheckConstraint(
        "kind IN ('website', 'app', 'mini_program', 'quick_app')",
        name="kind",
    ),
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

# One row for each domain that is or ever was filed, or decided on: the state that gates hold.
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
    # The midnight (China) that began the last day with traffic that gates told of; 0 for none.
    Column("seen_at", BigInteger, nullable=False, server_default="0"),
    # Here only because an operator decided on it (see `overrides`): no list can be too old for it.
    Column("never_filed", Boolean, nullable=False, server_default=false()),
    CheckConstraint("status IN ('filed', 'filed_elsewhere', 'suspended', 'absent')", name="status"),
    CheckConstraint("(status = 'absent') = (service_id IS NULL)", name="holder"),
    Index("ix_domains_service_id", "service_id"),
    sqlite_with_rowid=False,
)
# When a domain was last seen, or its record changed: it is idle since then.
stirred: ColumnElement[int] = case(
    (domains.c.seen_at > domains.c.changed_at, domains.c.seen_at), else_=domains.c.changed_at
)
Index(
    "ix_domains_filed_stirred",
    Grouping(stirred),  # PostgreSQL asks for the parentheses
    domains.c.domain,
    sqlite_where=FILED,
    postgresql_where=FILED,
)

# What operators have decided for every gate (see `gate.registry.operations.overriding`), and what
# the log says of the domain because of it.
overrides = Table(
    "overrides",
    metadata,
    Column("domain", Bytewise, primary_key=True),
    Column("kind", Text, nullable=False),
    # When it ends; null for a suspension that lasts until somebody ends it.
    Column("until", BigInteger),
    Column("reason", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("licence", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    CheckConstraint("kind IN ('exempt', 'suspended')", name="kind"),
    CheckConstraint("kind = 'suspended' OR until IS NOT NULL", name="ends"),
)

# 备案订单 (see `gate.registry.orders`): what an owner asks for, from draft to done. The state and
# the clocks of an order stand in its row, so that a step changes one row; what happened stands in
# the events, which are never changed.
orders = Table(
    "orders",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("account", Bytewise, nullable=False),
    # Who made it: `order` by the workflow, `operation` filed by a clerk straight to the authority.
    Column("origin", Text, nullable=False),
    # Null as long as a draft names too little to tell.
    Column("type", Text),
    Column("state", Text, nullable=False),
    Column("province", Text, nullable=False),
    # JSON: what was entered (`gate.registry.orders.entries.OrderEntry`).
    Column("entry", Text, nullable=False),
    # JSON: who verifies by SMS in this round, and how far each is.
    Column("people", Text, nullable=False),
    # JSON: what is due, each with its rule, and whether it has happened.
    Column("clocks", Text, nullable=False),
    # When the sweep has to look at it next.
    Column("timer_at", BigInteger),
    # What people are told is due; the year is the last one announced where it is an estimate.
    Column("due_at", BigInteger),
    Column("due_known_to", Integer),
    # When it entered its state.
    Column("since", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("submitted_at", BigInteger),
    Column("submitted_by", Text, nullable=False),
    Column("decided_at", BigInteger),
    Column("decided_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # JSON: faults of the last return, and what the rules warn of.
    Column("faults", Text, nullable=False),
    Column("licence", Text, nullable=False),
    # JSON: what a provisional opening has done, to undo it; empty without one.
    Column("opened", Text, nullable=False),
    # How many events it has: the number of the last one.
    Column("events", Integer, nullable=False),
    # The log's revision at which it was in force; null before.
    Column("revision", BigInteger),
    CheckConstraint("origin IN ('order', 'operation')", name="origin"),
    CheckConstraint(
        "state IN ('draft', 'stale', 'provider_review', 'returned', 'sms', 'authority_review', "
        "'done', 'withdrawn', 'abandoned')",
        name="state",
    ),
    Index("ix_orders_state", "state", "due_at", "id"),
    Index("ix_orders_account", "account", "id"),
)
Index(
    "ix_orders_open_account",
    orders.c.account,
    unique=True,
    sqlite_where=_OPEN,
    postgresql_where=_OPEN,
)
Index(
    "ix_orders_waiting_account",
    orders.c.account,
    unique=True,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
Index(
    "ix_orders_timer_at",
    orders.c.timer_at,
    sqlite_where=_TIMED,
    postgresql_where=_TIMED,
)
Index(
    "ix_orders_due_known_to",
    orders.c.due_known_to,
    sqlite_where=_ESTIMATED,
    postgresql_where=_ESTIMATED,
)

# What an order is about, to find it by: one row for each domain or service that it names.
order_items = Table(
    "order_items",
    metadata,
    Column("order_id", Id, ForeignKey("orders.id"), primary_key=True),
    Column("target", Bytewise, primary_key=True),
    Index("ix_order_items_target", "target", "order_id"),
)

order_events = Table(
    "order_events",
    metadata,
    Column("order_id", Id, ForeignKey("orders.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("party", Text, nullable=False),
    Column("event", Text, nullable=False),
    # The state after it.
    Column("state", Text, nullable=False),
    # JSON: reason, faults, due times, persons, numbers given.
    Column("detail", Text, nullable=False),
    # Which version of the rules was checked; empty where none were.
    Column("rules", Text, nullable=False),
    # Whether the owner is told of it.
    Column("notice", Boolean, nullable=False),
)

# The outbox: an event that the owner is told of, once for each channel, until that has taken it.
notices = Table(
    "notices",
    metadata,
    Column("order_id", Id, ForeignKey("orders.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("channel", Bytewise, primary_key=True),
    Column("next_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("taken_at", BigInteger),
    Column("error", Text, nullable=False),
)
Index(
    "ix_notices_next_at",
    notices.c.next_at,
    sqlite_where=UNTAKEN,
    postgresql_where=UNTAKEN,
)

# Domains that an order holds: each at most once.
reservations = Table(
    "reservations",
    metadata,
    Column("domain", Bytewise, primary_key=True),
    Column("order_id", Id, ForeignKey("orders.id"), nullable=False),
    Index("ix_reservations_order_id", "order_id"),
)

# What the provider's own systems say: who an account was verified as, who owns a domain.
accounts = Table(
    "accounts",
    metadata,
    Column("account", Bytewise, primary_key=True),
    Column("name", Text, nullable=False),
    Column("verified_at", BigInteger, nullable=False),
)

domain_owners = Table(
    "domain_owners",
    metadata,
    Column("domain", Bytewise, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("verified_at", BigInteger, nullable=False),
    # Registered with this provider.
    Column("here", Boolean, nullable=False),
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
    # In whose eyes domains are filed; null until somebody has said so.
    Column("provider", Text),
    # The last set that shrank unexplained and was given out on a person's word.
    Column("accepted_epoch", Text),
    Column("accepted_revision", BigInteger),
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
    # An owner's: the account that it acts for, and what it may do; all, if null.
    Column("account", Bytewise),
    Column("grants", Text),
    CheckConstraint(
        "role IN ('owner', 'verifier', 'reader', 'registrar', 'reviewer', 'authority', 'admin')",
        name="role",
    ),
    CheckConstraint("(role = 'owner') = (account IS NOT NULL)", name="account"),
    Index("ix_tokens_account", "account"),
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
    # Domains that were filed again after they had been cancelled, and that the list closed.
    Column("revived", BigInteger, nullable=False, server_default="0"),
    Column("closed", BigInteger, nullable=False, server_default="0"),
    # Domains that joined websites which have others.
    Column("further", BigInteger, nullable=False, server_default="0"),
    # How the list is meant: see gate.registry.bulk.importing.
    Column("mode", Text, nullable=False, server_default="add"),
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
