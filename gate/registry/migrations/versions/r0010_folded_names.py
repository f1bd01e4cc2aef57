"""The names of subjects as they are searched, in an index of their own.

Revises: 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

LIVE = sa.text("cancelled_at IS NULL")
PAGE = 10_000


def upgrade() -> None:
    op.add_column("subjects", sa.Column("folded", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE subjects SET folded = name")
    _fold(op.get_bind())
    op.drop_index("ix_subjects_live_name", table_name="subjects")
    op.create_index(
        "ix_subjects_live_folded",
        "subjects",
        ["folded"],
        unique=False,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )


def _fold(connection: sa.Connection) -> None:
    """Write the names that have capitals; most have none."""
    table = sa.table("subjects", sa.column("id"), sa.column("name"), sa.column("folded"))
    page = sa.select(table.c.id, table.c.name).order_by(table.c.id).limit(PAGE)
    write = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("subject"))
        .values(folded=sa.bindparam("text"))
    )
    after = 0
    while rows := connection.execute(page.where(table.c.id > after)).all():
        after = rows[-1].id
        changed = [
            {"subject": row.id, "text": row.name.casefold()}
            for row in rows
            if row.name.casefold() != row.name
        ]
        if changed:
            connection.execute(write, changed)
