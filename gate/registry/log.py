"""The change log: batches of changes under one increasing revision in each epoch.

Every change has its own revision: a batch from R to R+n holds n changes, in order. An epoch is
one unbroken history; restoring a backup begins a new one, whose text sorts after the old one's.
Functions here work inside the caller's transaction.
"""

from __future__ import annotations

import json
import secrets
import time
import zlib
from calendar import timegm
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

from gate.filings import Change, Status
from gate.registry.errors import RegistryError
from gate.registry.schema import log, log_head

_EPOCH: Final = "%Y%m%dT%H%M%SZ"


@dataclass(slots=True, frozen=True)
class Head:
    """Where the log stands: `revision` is the last one, `oldest` the lowest to read on from."""

    epoch: str
    revision: int
    oldest: int


def head(connection: Connection, *, lock: bool = False) -> Head:
    """Read the log's head; `lock` keeps every other writer out until the transaction ends."""
    query = select(log_head.c.epoch, log_head.c.revision, log_head.c.oldest)
    row = connection.execute(query.with_for_update() if lock else query).one()
    return Head(*row)


def accept(connection: Connection, at: Head) -> None:
    """Note a person's word that the set at the locked head is right, although it has shrunk."""
    connection.execute(
        update(log_head).values(accepted_epoch=at.epoch, accepted_revision=at.revision)
    )


def is_accepted(connection: Connection, at: Head) -> bool:
    """Return whether the set at a head was accepted, or one before it in its epoch."""
    query = select(log_head.c.accepted_epoch, log_head.c.accepted_revision)
    epoch, revision = connection.execute(query).one()
    return bool(epoch == at.epoch and revision <= at.revision)


def append(
    connection: Connection, at: Head, operation: str, changes: Sequence[Change], now: int
) -> Head:
    """Add one batch after the locked head `at`; without changes nothing is added."""
    if not changes:
        return at
    revision = at.revision + len(changes)
    connection.execute(insert(log), batch_row(at, operation, changes, now))
    connection.execute(update(log_head).values(revision=revision, changed_at=now))
    return Head(at.epoch, revision, at.oldest)


def batch_row(at: Head, operation: str, changes: Sequence[Change], now: int) -> dict[str, Any]:
    """Return the row of a batch after the head `at`."""
    return {
        "to_revision": at.revision + len(changes),
        "from_revision": at.revision,
        "operation": operation,
        "changed_at": now,
        "changes": encode(changes),
    }


def read_after(connection: Connection, since: int, *, limit: int) -> list[Change]:
    """Changes after revision `since`, in order: whole batches, up to about `limit` changes.

    At least one batch is given when there is one. The last change has the revision
    `since + len(result)`.
    Raises RegistryError `compacted` or `ahead`.
    """
    at = head(connection)
    if since > at.revision:
        raise RegistryError("ahead", field="since", since=since, head=at.revision)
    if since < at.oldest:
        raise RegistryError("compacted", field="since", since=since, oldest=at.oldest)
    rows = connection.execution_options(yield_per=16).execute(
        select(log.c.from_revision, log.c.changes)
        .where(log.c.to_revision > since)
        .order_by(log.c.to_revision)
        .limit(limit)
    )
    changes: list[Change] = []
    for first, packed in rows:
        batch = decode(packed)
        changes += batch[max(since - first, 0) :]
        if len(changes) >= limit:
            break
    rows.close()
    return changes


def compact(connection: Connection, *, keep: int) -> int:
    """Drop the oldest batches beyond the last `keep` changes; give back how many batches went."""
    at = head(connection, lock=True)
    oldest = connection.execute(
        select(func.max(log.c.to_revision)).where(log.c.to_revision <= at.revision - keep)
    ).scalar()
    if oldest is None:
        return 0
    gone = connection.execute(delete(log).where(log.c.to_revision <= oldest)).rowcount
    connection.execute(update(log_head).values(oldest=oldest))
    return gone


def begin_epoch(connection: Connection, *, now: float | None = None) -> Head:
    """Begin a new epoch at the present revision; every gate takes a snapshot then.

    Needed after a backup was restored: revisions that gates have seen would come again with
    other changes.
    """
    row = connection.execute(
        select(log_head.c.epoch, log_head.c.revision).with_for_update()
    ).one_or_none()
    before, revision = row if row is not None else ("", 0)
    epoch = _next_epoch(before, time.time() if now is None else now)
    if row is None:
        connection.execute(
            insert(log_head).values(id=1, epoch=epoch, revision=0, oldest=0, changed_at=0)
        )
    else:
        connection.execute(delete(log))
        connection.execute(update(log_head).values(epoch=epoch, oldest=revision))
    return Head(epoch, revision, revision)


def _next_epoch(before: str, now: float) -> str:
    """Return the time and a random tail: sorts after `before`, even if the clock went back."""
    if before:
        now = max(now, timegm(time.strptime(before.partition("-")[0], _EPOCH)) + 1)
    return time.strftime(_EPOCH, time.gmtime(now)) + f"-{secrets.token_hex(4)}"


def encode(changes: Sequence[Change]) -> bytes:
    """Changes as they are stored in the log."""
    rows = [[c.domain, c.status.value, c.licence, c.time] for c in changes]
    return zlib.compress(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode(), 1)


def decode(packed: bytes) -> list[Change]:
    """Undo `encode`."""
    return [
        Change(domain, Status(status), licence, at)
        for domain, status, licence, at in json.loads(zlib.decompress(packed))
    ]
