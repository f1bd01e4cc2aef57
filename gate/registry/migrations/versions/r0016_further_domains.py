"""How many domains an import has put beside others of one website.

Revises: 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "imports", sa.Column("further", sa.BigInteger(), nullable=False, server_default="0")
    )
