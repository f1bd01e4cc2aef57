"""The filed set on this machine: LMDB, exact, revisioned, crash-safe.

One writer, any number of readers in other processes. A write is one transaction with the
revision in it, on disk before it is acknowledged; LMDB's copy-on-write pages mean that a crash
at any moment leaves either all of it or nothing. A reader opens a fresh transaction for each
lookup, so it sees a commit at once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb

from gate.replica.errors import (
    OldEpoch,
    ReplicaBusy,
    ReplicaCorrupt,
    ReplicaError,
    ReplicaFull,
    ReplicaMissing,
    RevisionGap,
)
from gate.replica.records import Change, Filing, Position, Status, is_tombstone, pack, unpack

MAP_BYTES = 32 << 30
"""Address space kept for the map; the file only grows as it is filled."""
_FORMAT = b"1"
_MAX_READERS = 512
# A name with more labels than this is looked up only as far as the deepest filing goes.
_SHALLOW = 6


@dataclass(slots=True, frozen=True)
class Override:
    """An operator's decision for a domain and all names below it.

    `exempt` lets it through, else it is suspended; `until` is Unix seconds, None for no end.
    """

    domain: str
    exempt: bool
    until: float | None
    reason: str
    by: str
    since: float


class Replica:
    """An open replica. Not to be carried over a fork: open it in each process."""

    def __init__(self, path: Path, env: Any, *, writable: bool) -> None:
        self.path = path
        self._env = env
        self._writable = writable
        with _errors(path):
            if writable:
                self._filings = env.open_db(b"filings")
                self._meta = env.open_db(b"meta")
                self._overrides = env.open_db(b"overrides")
                with env.begin(write=True) as txn:
                    if txn.get(b"format", db=self._meta) is None:
                        txn.put(b"format", _FORMAT, db=self._meta)
            else:
                self._filings = env.open_db(b"filings", create=False)
                self._meta = env.open_db(b"meta", create=False)
                self._overrides = env.open_db(b"overrides", create=False)
            with env.begin() as txn:
                if txn.get(b"format", db=self._meta) != _FORMAT:
                    raise ReplicaCorrupt(
                        f"{path} is not a replica of this version: move it away and start again, "
                        "it is rebuilt from a snapshot"
                    )

    @classmethod
    def open(cls, path: Path, *, writable: bool, map_size: int = MAP_BYTES) -> Self:
        """Open the replica in the folder `path`; a writable one is made if there is none.

        Raises ReplicaMissing, ReplicaCorrupt, or ReplicaError for anything else.
        """
        if not writable and not (path / "data.mdb").exists():
            raise ReplicaMissing(f"no replica at {path}: import filings or sync with a registry")
        try:
            with _errors(path):
                if writable:
                    path.mkdir(parents=True, exist_ok=True)
                env = lmdb.open(
                    str(path),
                    map_size=map_size,
                    max_dbs=4,
                    max_readers=_MAX_READERS,
                    readonly=not writable,
                    create=writable,
                )
        except OSError as error:
            raise ReplicaError(f"cannot open the replica at {path}: {error.strerror}") from error
        try:
            env.reader_check()
            return cls(path, env, writable=writable)
        except BaseException:
            env.close()
            raise

    def close(self) -> None:
        """Close the files."""
        self._env.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Reading.

    def lookup(self, name: str) -> Filing | None:
        """The record that decides on the canonical `name`: the most specific at or above it.

        A tombstone counts only when nothing above it does.
        """
        key = name.encode()
        tombstone = b""
        with self._env.begin() as txn:
            get, filings = txn.get, self._filings
            excess = key.count(b".") + 1 - _SHALLOW
            if excess > 0:
                deepest = int(get(b"deepest", b"2", self._meta))
                excess += _SHALLOW - deepest
                if excess > 0:
                    key = key.split(b".", excess)[excess]
            dot = key.find(b".")
            while dot >= 0:
                value = get(key, None, filings)
                if value is not None:
                    if not is_tombstone(value):
                        return unpack(key.decode(), value)
                    tombstone = tombstone or key
                key = key[dot + 1 :]
                dot = key.find(b".")
        return Filing(tombstone.decode(), Status.revoked) if tombstone else None

    def get(self, domain: str) -> Filing | None:
        """The record of exactly this domain."""
        with self._env.begin() as txn:
            value = txn.get(domain.encode(), db=self._filings)
        return None if value is None else unpack(domain, value)

    def items(self) -> Iterator[Filing]:
        """Every record in the byte order of the domains, without tombstones, at one revision."""
        with self._env.begin() as txn, txn.cursor(self._filings) as cursor:
            for key, value in cursor:
                if not is_tombstone(value):
                    yield unpack(key.decode(), value)

    def count(self) -> int:
        """Records without tombstones."""
        with self._env.begin() as txn:
            entries: int = txn.stat(self._filings)["entries"]
            return entries - int(txn.get(b"tombstones", b"0", db=self._meta))

    def position(self) -> Position | None:
        """Where the replica stands; None if it was never loaded."""
        with self._env.begin() as txn:
            value = txn.get(b"position", db=self._meta)
        if value is None:
            return None
        epoch, revision, updated_at = json.loads(value)
        return Position(epoch, revision, updated_at)

    def digest(self) -> str:
        """SHA-256, in hex, over `domain TAB status TAB licence LF` of every item in order."""
        total = hashlib.sha256()
        for filing in self.items():
            total.update(f"{filing.domain}\t{filing.status}\t{filing.licence}\n".encode())
        return total.hexdigest()

    def size_bytes(self) -> int:
        """Bytes of the file in use."""
        info = self._env.info()
        return int((info["last_pgno"] + 1) * self._env.stat()["psize"])

    # Writing.

    def apply(
        self, changes: Iterable[Change], *, epoch: str, from_revision: int, to_revision: int
    ) -> None:
        """Apply a batch: changes and revision in one transaction, on disk when this returns.

        Raises RevisionGap, OldEpoch, ReplicaFull; the replica is as before then.
        """
        with self._write() as txn:
            value = txn.get(b"position", db=self._meta)
            have_epoch, have, _ = json.loads(value) if value else ("", 0, 0)
            if have_epoch != epoch:
                raise OldEpoch(
                    f"the replica follows epoch {have_epoch!r}, the batch is of {epoch!r}"
                )
            if have != from_revision:
                raise RevisionGap(have, from_revision)
            if to_revision <= from_revision:
                raise ReplicaError(f"a batch from {from_revision} to {to_revision} leads nowhere")
            self._put(txn, changes)
            self._set_position(txn, epoch, to_revision)

    def upsert(self, filings: Iterable[Filing]) -> None:
        """Add or replace records outside any registry's log, as `gate import` does.

        The revision stays; a replica that was never loaded becomes one of its own epoch.
        """
        with self._write() as txn:
            value = txn.get(b"position", db=self._meta)
            epoch, revision, _ = json.loads(value) if value else ("local", 0, 0)
            self._put(txn, (Change(f.domain, f.status, f.licence, 0) for f in filings))
            self._set_position(txn, epoch, revision)

    def load(self, filings: Iterable[Filing], *, epoch: str, revision: int) -> int:
        """Replace the whole set by `filings`, sorted by domain, in one transaction.

        Readers see the old set until it is complete. Returns the number of records. Raises
        ReplicaError if they are not sorted or one comes twice; the old set stays then.
        """
        count = 0
        deepest = 2
        with self._write() as txn:
            txn.drop(self._filings, delete=False)
            put, db = txn.put, self._filings
            for filing in filings:
                domain = filing.domain
                if filing.status is Status.absent:
                    continue
                key = domain.encode()
                if not put(key, pack(filing.status, filing.licence), db=db, append=True):
                    raise ReplicaError(f"{domain} is not in order, or comes twice")
                count += 1
                if domain.count(".") >= deepest:
                    deepest = domain.count(".") + 1
            txn.put(b"deepest", str(deepest).encode(), db=self._meta)
            txn.put(b"tombstones", b"0", db=self._meta)
            self._set_position(txn, epoch, revision)
        return count

    def _put(self, txn: Any, changes: Iterable[Change]) -> None:
        filings = self._filings
        deepest = before = int(txn.get(b"deepest", b"2", db=self._meta))
        tombstones = 0
        for change in changes:
            key = change.domain.encode()
            old = txn.get(key, db=filings)
            was_tombstone = old is not None and is_tombstone(old)
            if change.status in (Status.absent, Status.revoked):
                if old is None or was_tombstone:
                    continue
                tombstones += 1
                value = pack(Status.revoked, "")
            else:
                tombstones -= was_tombstone
                value = pack(change.status, change.licence)
                deepest = max(deepest, change.domain.count(".") + 1)
            txn.put(key, value, db=filings)
        if tombstones:
            total = int(txn.get(b"tombstones", b"0", db=self._meta)) + tombstones
            txn.put(b"tombstones", str(total).encode(), db=self._meta)
        if deepest != before:
            txn.put(b"deepest", str(deepest).encode(), db=self._meta)

    def _set_position(self, txn: Any, epoch: str, revision: int) -> None:
        position = json.dumps([epoch, revision, time.time()]).encode()
        txn.put(b"position", position, db=self._meta)

    @contextmanager
    def _write(self) -> Iterator[Any]:
        """A write transaction: committed and synced at the end, or undone by an error."""
        if not self._writable:
            raise ReplicaError(f"the replica at {self.path} is open for reading only")
        with _errors(self.path), self._env.begin(write=True) as txn:
            yield txn

    # Operators' overrides: not part of the registry's set, and kept through a load.

    def overrides(self) -> list[Override]:
        """All overrides, also those that have run out, by domain."""
        with self._env.begin() as txn, txn.cursor(self._overrides) as cursor:
            return [Override(key.decode(), **json.loads(value)) for key, value in cursor]

    def set_override(self, override: Override) -> None:
        """Add or replace the override of a domain."""
        value = {
            "exempt": override.exempt,
            "until": override.until,
            "reason": override.reason,
            "by": override.by,
            "since": override.since,
        }
        with self._write() as txn:
            txn.put(override.domain.encode(), json.dumps(value).encode(), db=self._overrides)

    def remove_override(self, domain: str) -> bool:
        """Remove the override of a domain; False if there was none."""
        with self._write() as txn:
            return bool(txn.delete(domain.encode(), db=self._overrides))


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Say LMDB's errors in the replica's terms."""
    try:
        yield
    except (
        lmdb.CorruptedError,
        lmdb.InvalidError,
        lmdb.VersionMismatchError,
        lmdb.PageNotFoundError,
    ) as error:
        raise ReplicaCorrupt(
            f"the replica at {path} is damaged ({error}): move the folder away, it is rebuilt "
            "from a snapshot or an import"
        ) from error
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise ReplicaFull(
            f"no room for the change in the replica at {path} ({error}): free space on its file "
            "system; the replica is as before"
        ) from error
    except lmdb.LockError as error:
        raise ReplicaBusy(f"the replica at {path} is locked: {error}") from error
    except lmdb.NotFoundError as error:
        raise ReplicaMissing(f"the replica at {path} is not complete: import or sync it") from error
    except lmdb.Error as error:
        message = str(error)
        if "No space left" in message:
            raise ReplicaFull(
                f"no room for the change in the replica at {path}: free space on its file system; "
                "the replica is as before"
            ) from error
        raise ReplicaError(f"the replica at {path}: {message}") from error
