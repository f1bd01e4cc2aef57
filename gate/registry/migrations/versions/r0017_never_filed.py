"""Domains that an operator decided on at every gate, and that were never filed.

Of those that are there already it is not known: they count as filed once, as before.

Revises: 0016.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "domains",
        sa.Column("never_filed", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
