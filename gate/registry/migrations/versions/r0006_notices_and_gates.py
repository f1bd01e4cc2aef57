"""Notices to owners, and what each gate has told of the revision that it enforces.

Revises: 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WAITING = sa.text("taken_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("order_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("channel", BYTEWISE, nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_notices_order_id")),
        sa.PrimaryKeyConstraint("order_id", "number", "channel", name=op.f("pk_notices")),
    )
    op.create_index(
        "ix_notices_next_at",
        "notices",
        ["next_at"],
        unique=False,
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    op.create_table(
        "gate_positions",
        sa.Column("gate", BYTEWISE, nullable=False),
        sa.Column("epoch", BYTEWISE, nullable=False),
        sa.Column("revision", ID, autoincrement=False, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gate", "epoch", "revision", name=op.f("pk_gate_positions")),
    )
