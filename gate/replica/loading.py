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

import lmdb

from gate.names import check_domain
from gate.replica.environment import Environment
from gate.replica.errors import BadChange, ReplicaBusy
from gate.replica.records import TOMBSTONE, Filing, Status, encode

_CHUNK = 50_000
Progress = Callable[[int], None]


class _Tally:
    """What the stream has shown so far."""

    __slots__ = ("count", "max_labels")

    def __init__(self) -> None:
        self.count = 0
        self.max_labels = 0


def load(
    environment: Environment,
    filings: Iterable[Filing],
    *,
    epoch: str,
    revision: int,
    now: float,
    progress: Progress | None = None,
) -> None:
    """Replace the whole set by `filings`, sorted by domain without repeats.

    A domain of the old set that is not in the new one stays as a tombstone.
    Raises PositionError's kinds, BadChange (also for a wrong order), ReplicaBusy, ReplicaFull.
    """
    with _alone(environment):
        state = environment.transact(environment.state)
        state.check_snapshot(epoch, revision)
        target = environment.sets[1 - state.active]
        environment.transact(lambda txn: txn.drop(target, delete=False))
        tally = _Tally()
        records = _merged(_records(filings, tally), _domains(environment, state.active))
        written = 0
        while chunk := list(islice(records, _CHUNK)):
            environment.transact(lambda txn, chunk=chunk: _append(txn, target, chunk))  # type: ignore[misc]
            written += len(chunk)
            if progress is not None:
                progress(written)

        def switch(txn: lmdb.Transaction[bytes]) -> None:
            current = environment.state(txn)
            current.check_snapshot(epoch, revision)
            txn.drop(environment.sets[current.active], delete=False)
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
        yield domain.encode(), value


def _merged(
    records: Iterator[tuple[bytes, bytes]], old: Iterator[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """The new records, and a tombstone for each old domain that is not among them."""
    waiting = next(old, None)
    for record in records:
        domain = record[0]
        while waiting is not None and waiting < domain:
            yield waiting, TOMBSTONE
            waiting = next(old, None)
        if waiting == domain:
            waiting = next(old, None)
        yield record
    while waiting is not None:
        yield waiting, TOMBSTONE
        waiting = next(old, None)


def _domains(environment: Environment, active: int) -> Iterator[bytes]:
    """The keys of a set in order, in short transactions: a long one would hold pages back."""
    after = b""
    while True:
        with environment.begin(environment.sets[active]) as txn:
            cursor = txn.cursor()
            if not cursor.set_range(after + b"\x00"):
                return
            keys = list(islice(cursor.iternext(values=False), _CHUNK))
        yield from keys
        after = keys[-1]


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
