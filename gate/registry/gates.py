"""What gates tell of the revision that they enforce: in force on N of M, and since when.

A row is the first word of a gate about a revision; the newest of each gate says where it stands,
and `seen_at` when it was last heard. Older rows are kept a while, to tell since when an earlier
revision has been in force.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field
from sqlalchemy import Connection, delete, func, insert, select, update

from gate.changes.position import GatePosition
from gate.net.model import Model
from gate.registry.fields import clean_identifier
from gate.registry.schema import gate_positions

KEEP_SECONDS: Final = 30 * 86_400
GONE_SECONDS: Final = 24 * 3_600
"""A gate that has not been heard for so long counts no more."""


class GateStanding(Model):
    """A gate, and how far it is behind the log. Times are Unix seconds."""

    gate: str
    channel: str
    epoch: str
    revision: int
    lag: int | None = Field(description="revisions behind; null in another epoch")
    since: int = Field(description="when it reached its revision")
    seen_at: int


class GateInForce(Model):
    """A gate that enforces a revision, and since when (Unix seconds)."""

    gate: str
    since: int


def take_position(connection: Connection, gate: str, position: GatePosition, now: int) -> bool:
    """Keep a gate's word; tell whether it is news. Raises RegistryError `field_invalid`."""
    gate = clean_identifier(gate, field="gate")
    mine = (
        gate_positions.c.gate == gate,
        gate_positions.c.epoch == position.epoch,
        gate_positions.c.revision == position.revision,
    )
    seen = connection.execute(
        update(gate_positions).where(*mine).values(seen_at=now, channel=position.channel)
    )
    if seen.rowcount:
        return False
    connection.execute(
        insert(gate_positions).values(
            gate=gate,
            epoch=position.epoch,
            revision=position.revision,
            channel=position.channel,
            at=now,
            seen_at=now,
        )
    )
    return True


def forget_positions(connection: Connection, now: int) -> None:
    """Drop what is too old to be asked for."""
    connection.execute(delete(gate_positions).where(gate_positions.c.seen_at < now - KEEP_SECONDS))


def standings(connection: Connection, *, epoch: str, revision: int) -> list[GateStanding]:
    """Return every gate that was heard of lately, by name, beside the log's head."""
    rows = connection.execute(
        select(gate_positions).order_by(
            gate_positions.c.gate, gate_positions.c.seen_at, gate_positions.c.revision
        )
    )
    last = {row.gate: row for row in rows}
    return [
        GateStanding(
            gate=row.gate,
            channel=row.channel,
            epoch=row.epoch,
            revision=row.revision,
            lag=max(revision - row.revision, 0) if row.epoch == epoch else None,
            since=row.at,
            seen_at=row.seen_at,
        )
        for row in last.values()
    ]


def in_force(
    connection: Connection, revision: int | None, epoch: str
) -> tuple[tuple[GateInForce, ...], int]:
    """Return the gates that enforce a revision, since when; and how many are known."""
    newest: int | None = connection.execute(select(func.max(gate_positions.c.seen_at))).scalar()
    heard = gate_positions.c.seen_at >= (newest or 0) - GONE_SECONDS
    known: int = connection.execute(
        select(func.count(func.distinct(gate_positions.c.gate))).where(heard)
    ).scalar_one()
    if revision is None:
        return (), known
    rows = connection.execute(
        select(gate_positions.c.gate, func.min(gate_positions.c.at))
        .where(gate_positions.c.epoch == epoch, gate_positions.c.revision >= revision)
        .group_by(gate_positions.c.gate)
        .order_by(gate_positions.c.gate)
    )
    return tuple(GateInForce(gate=gate, since=at) for gate, at in rows), known
