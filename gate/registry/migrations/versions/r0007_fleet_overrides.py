"""Exemptions and suspensions for every gate; an index to search subjects by part of a name.

Revises: 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LIVE = sa.text("cancelled_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "overrides",
        sa.Column("domain", BYTEWISE, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('exempt', 'suspended')", name=op.f("ck_overrides_kind")),
        sa.CheckConstraint(
            "kind = 'suspended' OR until IS NOT NULL", name=op.f("ck_overrides_ends")
        ),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_overrides")),
    )
    op.create_index(
        "ix_subjects_live_name",
        "subjects",
        ["name"],
        unique=False,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )
