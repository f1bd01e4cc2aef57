"""Where gates stand now, in a table of its own; where they stood before, a row a minute at most.

Revises: 0013.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "gate_standings",
        sa.Column("gate", BYTEWISE, nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gate", name=op.f("pk_gate_standings")),
    )
    op.execute(
        "INSERT INTO gate_standings (gate, epoch, revision, channel, since, seen_at) "
        "SELECT gate, epoch, revision, channel, at, seen_at FROM ("
        "SELECT *, row_number() OVER (PARTITION BY gate "
        "ORDER BY seen_at DESC, revision DESC, epoch DESC) AS place FROM gate_positions"
        ") AS ranked WHERE place = 1"
    )
    # Of each minute the last: what is asked is since when a revision or a later one is in force.
    op.execute(
        "DELETE FROM gate_positions WHERE (gate, epoch, revision) IN ("
        "SELECT gate, epoch, revision FROM ("
        "SELECT *, row_number() OVER (PARTITION BY gate, epoch, at / 60 "
        "ORDER BY revision DESC) AS place FROM gate_positions"
        ") AS ranked WHERE place > 1)"
    )
    op.drop_column("gate_positions", "channel")
    op.drop_column("gate_positions", "seen_at")
