"""The addresses that blocked names are asked for at.

Revises: 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("unfiled", sa.Column("destinations", sa.Text(), nullable=True))
