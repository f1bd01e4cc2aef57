"""What only gates know: traffic by the day, whose hosts are where, blocked names with accounts.

Revises: 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UNTAKEN = sa.text("taken_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "traffic",
        sa.Column("domain", BYTEWISE, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_traffic")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "traffic_gates",
        sa.Column("gate", BYTEWISE, nullable=False),
        sa.Column("first_day", sa.Integer(), nullable=False),
        sa.Column("whole_since", sa.Integer(), nullable=False),
        sa.Column("last_day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("gate", name=op.f("pk_traffic_gates")),
    )
    op.create_table(
        "account_networks",
        sa.Column("network", BYTEWISE, nullable=False),
        sa.Column("account", BYTEWISE, nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("network", name=op.f("pk_account_networks")),
    )
    op.create_table(
        "blocked_matches",
        sa.Column("domain", BYTEWISE, nullable=False),
        sa.Column("account", BYTEWISE, nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_blocked_matches")),
    )
    op.create_index("ix_blocked_matches_account", "blocked_matches", ["account", "domain"])
    op.create_table(
        "account_notices",
        sa.Column("kind", BYTEWISE, nullable=False),
        sa.Column("target", BYTEWISE, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("day", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("channel", BYTEWISE, nullable=False),
        sa.Column("account", BYTEWISE, nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "kind", "target", "since", "day", "channel", name=op.f("pk_account_notices")
        ),
    )
    op.create_index(
        "ix_account_notices_next_at",
        "account_notices",
        ["next_at"],
        unique=False,
        sqlite_where=UNTAKEN,
        postgresql_where=UNTAKEN,
    )
