"""Bulk load: a whole new set beside the old one, then one switch.

The new set is written in sorted order into the inactive sub-database, a chunk a transaction,
so that memory stays small and a killed load leaves nothing but an unused half.  The last
transaction makes it the active one, together with its epoch and revision, and empties the
other.  Readers see the old set until that commit, and the new one from it on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Final

import lmdb

from gate.filings import Filing, Status
from gate.names import check_domain
from gate.replica.difference import Check, Difference
from gate.replica.endings import key_of
from gate.replica.environment import Environment
from gate.replica.errors import BadChange, ReplicaBusy
from gate.replica.records import FILED, STATUS_MASK, TOMBSTONE, encode

_CHUNK = 50_000
Progress = Callable[[int], None]


class _Tally:
    """What the stream has shown so far."""

    __slots__ = ("count", "ends", "max_labels")

    def __init__(self) -> None:
        self.count = 0
        self.ends: list[bytes] = []  # what ends by itself, as keys of `Environment.ends`
        self.max_labels = 0


def load(
    environment: Environment,
    filings: Iterable[Filing],
    *,
    epoch: str,
    revision: int,
    now: float,
    progress: Progress | None = None,
    check: Check | None = None,
) -> None:
    """Replace the whole set by `filings`, sorted by domain without repeats.

    A domain of the old set that is not in the new one stays as a tombstone. `check` looks at what
    changes before the switch.
    Raises PositionError's kinds, BadChange (also for a wrong order), ReplicaBusy, ReplicaFull,
    and whatever `check` raises; the old set stays then.
    """
    with _alone(environment):
        state = environment.transact(environment.state)
        state.check_snapshot(epoch, revision)
        target = environment.sets[1 - state.active]
        environment.transact(lambda txn: txn.drop(target, delete=False))
        tally = _Tally()
        difference = Difference()
        records = _merged(
            _records(filings, tally), _statuses(environment, state.active), difference
        )
        written = 0
        while chunk := list(islice(records, _CHUNK)):
            environment.transact(lambda txn, chunk=chunk: _append(txn, target, chunk))  # type: ignore[misc]
            written += len(chunk)
            if progress is not None:
                progress(written)
        if check is not None:
            check(difference)

        def switch(txn: lmdb.Transaction[bytes]) -> None:
            current = environment.state(txn)
            current.check_snapshot(epoch, revision)
            txn.drop(environment.sets[current.active], delete=False)
            txn.drop(environment.ends, delete=False)
            for end in tally.ends:
                txn.put(end, b"", db=environment.ends)
            switched = replace(
                current.moved(epoch, revision, now),
                active=1 - current.active,
                count=tally.count,
                max_labels=max(tally.max_labels, current.max_labels),
            )
            environment.put_state(txn, switched)

        environment.transact(switch)


def _append(
    txn: lmdb.Transaction[bytes], database: lmdb._Database, chunk: list[tuple[bytes, bytes]]
) -> None:
    with txn.cursor(database) as cursor:
        cursor.putmulti(chunk, append=True)


def _records(filings: Iterable[Filing], tally: _Tally) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the new set, each checked."""
    previous = ""
    for filing in filings:
        domain = filing.domain
        if domain <= previous:
            raise BadChange(domain, f"not in sorted order after {previous!r}, or twice")
        previous = domain
        try:
            check_domain(domain)
            value = encode(filing.status, filing.licence)
        except ValueError as error:  # InvalidName is one
            raise BadChange(domain, str(error)) from error
        tally.max_labels = max(tally.max_labels, domain.count(".") + 1)
        tally.count += filing.status is not Status.REVOKED
        key = domain.encode()
        if (end := key_of(key, value)) is not None:
            tally.ends.append(end)
        yield key, value


def _merged(
    records: Iterator[tuple[bytes, bytes]],
    old: Iterator[tuple[bytes, bool]],
    difference: Difference,
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the new records, and a tombstone for each old domain that is not among them.

    What changes is counted in `difference`, which is complete at the end.
    """
    waiting, was_filed = next(old, _NOTHING)
    for record in records:
        domain, value = record
        while waiting is not None and waiting < domain:
            difference.note(before=was_filed, after=False)
            yield waiting, TOMBSTONE
            waiting, was_filed = next(old, _NOTHING)
        is_filed = value[0] & STATUS_MASK == FILED
        if waiting == domain:
            difference.note(before=was_filed, after=is_filed)
            waiting, was_filed = next(old, _NOTHING)
        else:
            difference.note(before=False, after=is_filed)
        yield record
    while waiting is not None:
        difference.note(before=was_filed, after=False)
        yield waiting, TOMBSTONE
        waiting, was_filed = next(old, _NOTHING)


_NOTHING: Final[tuple[bytes | None, bool]] = (None, False)


def _statuses(environment: Environment, active: int) -> Iterator[tuple[bytes, bool]]:
    """Yield the keys of a set in order, each with whether it is filed.

    In short transactions: a long one would hold pages back.
    """
    after = b""
    while True:
        with environment.begin(environment.sets[active]) as txn:
            cursor = txn.cursor()
            if not cursor.set_range(after + b"\x00"):
                return
            rows = [(key, value[0] & STATUS_MASK == FILED) for key, value in islice(cursor, _CHUNK)]
        yield from rows
        after = rows[-1][0]


@contextmanager
def _alone(environment: Environment) -> Iterator[None]:
    """One bulk load at a time on this machine.  Raises ReplicaBusy."""
    descriptor = os.open(environment.path / "load.lock", os.O_CREAT | os.O_RDWR, 0o640)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ReplicaBusy(
                f"another bulk load into {environment.path} is under way: wait for its end"
            ) from error
        yield
    finally:
        os.close(descriptor)
