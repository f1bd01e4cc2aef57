"""What gates tell of the revision that they enforce: in force on N of M, and since when.

`gate_standings` has the last word of each gate. Where it stood before is kept for a while, to tell
since when an earlier revision has been in force, but no more than a row a minute: a fleet tells of
each change. So that answer may be late by a minute, and is never early.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field
from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gate.changes.position import GatePosition
from gate.net.model import Model
from gate.registry.fields import clean_identifier
from gate.registry.gate_schema import gate_positions, gate_standings

KEEP_SECONDS: Final = 30 * 86_400
GONE_SECONDS: Final = 24 * 3_600
"""A gate that has not been heard for so long counts no more."""
_APART: Final = 60
"""Seconds between two rows of where a gate stood."""


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
    table = gate_standings
    row = connection.execute(select(table).where(table.c.gate == gate)).one_or_none()
    told = {"epoch": position.epoch, "revision": position.revision, "channel": position.channel}
    if row is None:
        connection.execute(insert(table).values(gate=gate, since=now, seen_at=now, **told))
        return True
    same = (row.epoch, row.revision) == (position.epoch, position.revision)
    if not same:
        told["since"] = now
        _keep(connection, row, now)
        if row.epoch == position.epoch and row.revision > position.revision:
            _forget_beyond(connection, gate, position)
    connection.execute(update(table).where(table.c.gate == gate).values(seen_at=now, **told))
    return not same


def _keep(connection: Connection, row: Row[Any], now: int) -> None:
    """Keep where a gate stood until now, unless that was done just before."""
    table = gate_positions
    mine = (table.c.gate == row.gate, table.c.epoch == row.epoch)
    query = select(table.c.at).where(*mine).order_by(table.c.revision.desc()).limit(1)
    last = connection.execute(query).scalar()
    if last is not None and last <= now < last + _APART:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    kept = {"gate": row.gate, "epoch": row.epoch, "revision": row.revision, "at": row.since}
    connection.execute(dialect.insert(table).values(**kept).on_conflict_do_nothing())


def _forget_beyond(connection: Connection, gate: str, position: GatePosition) -> None:
    """A gate that has fallen back enforces no more what it did."""
    table = gate_positions
    connection.execute(
        delete(table).where(
            table.c.gate == gate,
            table.c.epoch == position.epoch,
            table.c.revision > position.revision,
        )
    )


def rename_pushed(connection: Connection, old: str, new: str) -> None:
    """A gate that was known by the name of its push target alone has told its own."""
    table = gate_standings
    names = table.c.gate.in_([old, new])
    rows = {row.gate: row for row in connection.execute(select(table).where(names))}
    if old not in rows or rows[old].channel != "push":
        return  # it is another gate's own name
    for of in (gate_standings, gate_positions):
        if new in rows:
            connection.execute(delete(of).where(of.c.gate == old))
        else:
            connection.execute(update(of).where(of.c.gate == old).values(gate=new))


def forget_positions(connection: Connection, now: int) -> None:
    """Drop what is too old to be asked for.

    What a clock that was ahead has put down counts as heard now: else no other gate would be known.
    """
    ahead = gate_standings.c.seen_at > now
    connection.execute(update(gate_standings).where(ahead).values(seen_at=now))
    old = now - KEEP_SECONDS
    connection.execute(delete(gate_standings).where(gate_standings.c.seen_at < old))
    connection.execute(delete(gate_positions).where(gate_positions.c.at < old))


def standings(connection: Connection, *, epoch: str, revision: int) -> list[GateStanding]:
    """Return every gate that was heard of in `KEEP_SECONDS`, by name, beside the log's head."""
    rows = connection.execute(select(gate_standings).order_by(gate_standings.c.gate))
    return [
        GateStanding(
            gate=row.gate,
            channel=row.channel,
            epoch=row.epoch,
            revision=row.revision,
            lag=max(revision - row.revision, 0) if row.epoch == epoch else None,
            since=row.since,
            seen_at=row.seen_at,
        )
        for row in rows
    ]


def in_force(
    connection: Connection, revision: int | None, epoch: str
) -> tuple[tuple[GateInForce, ...], int]:
    """Return the gates that enforce a revision, since when; and how many are known."""
    table, before = gate_standings, gate_positions
    newest: int = connection.execute(select(func.max(table.c.seen_at))).scalar() or 0
    heard = table.c.seen_at >= newest - GONE_SECONDS
    known: int = connection.execute(
        select(func.count()).select_from(table).where(heard)
    ).scalar_one()
    if revision is None:
        return (), known
    first = (
        select(before.c.at)
        .where(
            before.c.gate == table.c.gate, before.c.epoch == epoch, before.c.revision >= revision
        )
        .order_by(before.c.revision)
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(table.c.gate, func.coalesce(first, table.c.since))
        .where(heard, table.c.epoch == epoch, table.c.revision >= revision)
        .order_by(table.c.gate)
    )
    return tuple(GateInForce(gate=gate, since=at) for gate, at in rows), known
