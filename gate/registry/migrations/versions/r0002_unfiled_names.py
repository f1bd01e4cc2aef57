"""The blocked names that gates report.

Revises: 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "unfiled",
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("gate", BYTEWISE, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "gate", name=op.f("pk_unfiled")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_unfiled_last_seen", "unfiled", ["last_seen"], unique=False)
