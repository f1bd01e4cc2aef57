"""Whose registry it is, whose word a shrunken set was given, and how an import was meant.

Revises: 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("log_head", sa.Column("provider", sa.Text(), nullable=True))
    op.add_column("log_head", sa.Column("accepted_epoch", sa.Text(), nullable=True))
    op.add_column("log_head", sa.Column("accepted_revision", sa.BigInteger(), nullable=True))
    for name in ("revived", "closed"):
        op.add_column(
            "imports", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        )
    op.add_column("imports", sa.Column("mode", sa.Text(), nullable=False, server_default="add"))
