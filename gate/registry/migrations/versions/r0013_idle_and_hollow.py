"""What is idle and what is hollow, each by an index.

The last day with traffic moves into the domain's own row, for an index can't span two tables.

Revises: 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
HOLLOW = sa.text("cancelled_at IS NULL AND hollow_since IS NOT NULL")
FILED = sa.text("status = 'filed'")
STIRRED = sa.text("(CASE WHEN (seen_at > changed_at) THEN seen_at ELSE changed_at END)")


def upgrade() -> None:
    op.add_column(
        "domains", sa.Column("seen_at", sa.BigInteger(), nullable=False, server_default="0")
    )
    # 719163 is the ordinal of 1970-01-01; the day begins eight hours earlier in China.
    op.execute(
        "UPDATE domains SET seen_at = "
        "(SELECT (traffic.day - 719163) * CAST(86400 AS bigint) - 28800 FROM traffic "
        "WHERE traffic.domain = domains.domain) "
        "WHERE EXISTS (SELECT 1 FROM traffic WHERE traffic.domain = domains.domain)"
    )
    op.drop_table("traffic")
    op.create_index(
        "ix_domains_filed_stirred",
        "domains",
        [STIRRED, "domain"],
        unique=False,
        sqlite_where=FILED,
        postgresql_where=FILED,
    )
    op.add_column("subjects", sa.Column("hollow_since", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE subjects SET hollow_since = coalesce((SELECT max(services.cancelled_at) "
        "FROM services WHERE services.subject_id = subjects.id), created_at) "
        "WHERE cancelled_at IS NULL AND NOT EXISTS (SELECT 1 FROM services "
        "WHERE services.subject_id = subjects.id AND services.cancelled_at IS NULL)"
    )
    op.create_index(
        "ix_subjects_hollow",
        "subjects",
        ["licence"],
        unique=False,
        sqlite_where=HOLLOW,
        postgresql_where=HOLLOW,
    )
