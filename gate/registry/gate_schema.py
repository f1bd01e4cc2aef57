"""The tables of what gates tell: where they stand, what they block, which names have traffic."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from gate.registry.schema import UNTAKEN, Bytewise, Id, metadata

# Where each gate stands by its last word: which revision it enforces, since when, heard when.
gate_standings = Table(
    "gate_standings",
    metadata,
    Column("gate", Bytewise, primary_key=True),
    Column("epoch", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

# Where gates stood before, a row a minute at most: `at` is when a gate came to the revision.
gate_positions = Table(
    "gate_positions",
    metadata,
    Column("gate", Bytewise, primary_key=True),
    Column("epoch", Bytewise, primary_key=True),
    Column("revision", Id, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
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
    # JSON: addresses with their counts, the most asked first; null where none were told.
    Column("destinations", Text),
    Index("ix_unfiled_last_seen", "last_seen"),
    sqlite_with_rowid=False,
)

# What only gates know, put beside the records: see `gate.registry.sightings`.

# How far each gate's word on traffic goes: from which day on it has told all, without a gap. Days
# are proleptic ordinals, in China.
traffic_gates = Table(
    "traffic_gates",
    metadata,
    Column("gate", Bytewise, primary_key=True),
    Column("first_day", Integer, nullable=False),
    Column("whole_since", Integer, nullable=False),
    Column("last_day", Integer, nullable=False),
)

# Whose hosts are in which network of the provider.
account_networks = Table(
    "account_networks",
    metadata,
    Column("network", Bytewise, primary_key=True),
    Column("account", Bytewise, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)

# Blocked domains that seem an account's, as of the last look.
blocked_matches = Table(
    "blocked_matches",
    metadata,
    Column("domain", Bytewise, primary_key=True),
    Column("account", Bytewise, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Index("ix_blocked_matches_account", "account", "domain"),
)

# The outbox of what is told to accounts without an order: see `gate.registry.sightings.reminding`.
account_notices = Table(
    "account_notices",
    metadata,
    # What it is about (blocked, idle, hollow), since when, and on which day after that it is told.
    Column("kind", Bytewise, primary_key=True),
    Column("target", Bytewise, primary_key=True),
    Column("since", BigInteger, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("channel", Bytewise, primary_key=True),
    Column("account", Bytewise, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    # JSON: what the message says (`gate.registry.sightings.views.AccountNotice`).
    Column("notice", Text, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("taken_at", BigInteger),
    Column("error", Text, nullable=False),
)
Index(
    "ix_account_notices_next_at",
    account_notices.c.next_at,
    sqlite_where=UNTAKEN,
    postgresql_where=UNTAKEN,
)
