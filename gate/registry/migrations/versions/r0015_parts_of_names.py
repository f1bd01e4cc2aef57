"""Parts of subjects' names, by an index of their trigrams, where PostgreSQL has such.

SQLite reads through its index of names in less time. Without the extension `pg_trgm`, or the right
to make it, a search reads every name, as before.

Revises: 0014.
"""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

MAKE = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX ix_subjects_live_name_parts ON subjects USING gin (folded gin_trgm_ops) "
    "WHERE cancelled_at IS NULL",
)

_log = logging.getLogger(__name__)


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    try:
        with connection.begin_nested():
            for statement in MAKE:
                connection.exec_driver_sql(statement)
    except sa.exc.DBAPIError as error:
        _log.warning(
            "searches by part of a name will read every name (%s); later, as a superuser: %s",
            str(error.orig).strip().splitlines()[0],
            "; ".join(MAKE),
        )
