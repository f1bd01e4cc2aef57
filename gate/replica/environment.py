"""The LMDB environment below the replica: opening it, one transaction at a time, its errors.

Layout: two sets of names, `names.0` and `names.1`, of which the state record says which is
active (a bulk load fills the other one and switches), the `state`, the `overrides`, and `ends`,
which lists by time what ends by itself (`gate.replica.endings`).
LMDB gives the crash safety: a commit writes new pages, syncs them, then swings one of two
meta pages, so a process killed at any moment leaves the last commit whole.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import lmdb
from lmdb.verify import VerifyError
from lmdb.verify import verify as verify_file

from gate.replica.errors import (
    ReplicaBusy,
    ReplicaCorrupt,
    ReplicaError,
    ReplicaFull,
    ReplicaMissing,
    ReplicaUnusable,
)
from gate.replica.state import State, decode_state, encode_state

T = TypeVar("T")

MAP_SIZE: Final = 16 << 30
"""Address space reserved for the map; the file is only as long as what it holds."""
_MAX_READERS: Final = 1024
_DATA: Final = "data.mdb"
_STATE_KEY: Final = b"state"
_SETS: Final = (b"names.0", b"names.1")
_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
)
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Environment:
    """An open LMDB environment with the replica's sub-databases.

    Not to be kept across a fork: open it after.  One opening a process (an LMDB rule).
    """

    def __init__(self, path: Path, *, writable: bool, map_size: int = MAP_SIZE) -> None:
        """Raises ReplicaMissing, ReplicaCorrupt, ReplicaBusy or ReplicaUnusable."""
        self.path = path
        self.writable = writable
        if writable:
            self._make_directory()
        elif not (path / _DATA).exists():
            raise ReplicaMissing(
                f"no replica at {path}: import filings or let the gate sync from its registry"
            )
        # A map smaller than the file could not be read: leave room for both sets.
        map_size = max(map_size, 2 * self.file_bytes())
        try:
            self.lmdb = lmdb.open(
                str(path),
                map_size=map_size,
                max_dbs=5,
                max_readers=_MAX_READERS,
                max_spare_txns=4,
                readonly=not writable,
                readahead=False,
                mode=0o640,
            )
        except lmdb.Error as error:
            raise self.translate(error, "open") from error
        self._file = _identity(path / _DATA)
        try:
            self._check_length()
            self._open_databases()
        except lmdb.Error as error:
            self.lmdb.close()
            raise self.translate(error, "open") from error
        except ReplicaError:
            self.lmdb.close()
            raise

    def _make_directory(self) -> None:
        try:
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise ReplicaUnusable(f"cannot make {self.path}: {error.strerror}") from error

    def _check_length(self) -> None:
        """A page beyond the end of the file would kill the process (SIGBUS): look first.

        A file may be shorter than its page count when the last pages are free ones, so a
        short file is verified page by page before it is condemned.
        """
        pages = int(self.lmdb.info()["last_pgno"]) + 1
        if self.file_bytes() < pages * int(self.lmdb.stat()["psize"]):
            verify(self.path)

    def _open_databases(self) -> None:
        create = self.writable
        try:
            self.sets = tuple(self.lmdb.open_db(name, create=create) for name in _SETS)
            self.overrides = self.lmdb.open_db(b"overrides", create=create)
            self._states = self.lmdb.open_db(b"state", create=create)
            if create:  # only who writes needs it, and a replica of an older program has none yet
                self.ends = self.lmdb.open_db(b"ends", create=True)
        except (lmdb.NotFoundError, lmdb.ReadonlyError) as error:
            raise ReplicaMissing(
                f"the replica at {self.path} was never filled: import filings or let it sync"
            ) from error
        if self.writable:
            self.lmdb.reader_check()

    def begin(self, database: lmdb._Database) -> lmdb.Transaction[bytes]:
        """Return a read transaction on the last commit; it ends when it is dropped."""
        try:
            return self.lmdb.begin(database)
        except lmdb.MapResizedError:  # another process grew the map
            self.lmdb.set_mapsize(0)
            return self.begin(database)
        except lmdb.Error as error:
            raise self.translate(error, "read") from error

    def transact(self, work: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        """Run `work` in one write transaction and commit it to the disk, or change nothing.

        `work` may run more than once: the map grows when it is full.
        Raises ReplicaFull, ReplicaCorrupt or ReplicaUnusable.
        """
        if not self.writable:
            raise ReplicaUnusable(f"the replica at {self.path} was opened for reading only")
        while True:
            try:
                self.lmdb.reader_check()  # readers that were killed must not hold pages back
                with self.lmdb.begin(write=True) as txn:
                    return work(txn)
            except lmdb.MapFullError:
                self._grow()
            except lmdb.MapResizedError:
                self.lmdb.set_mapsize(0)
            except lmdb.Error as error:
                raise self.translate(error, "write") from error

    def _grow(self) -> None:
        size = int(self.lmdb.info()["map_size"])
        try:
            self.lmdb.set_mapsize(2 * size)
        except (lmdb.Error, MemoryError) as error:
            raise ReplicaUnusable(
                f"replica {self.path}: no address space to grow the map beyond {size} bytes"
            ) from error

    def state(self, txn: lmdb.Transaction[bytes]) -> State:
        value = txn.get(_STATE_KEY, db=self._states)
        return State() if value is None else decode_state(value, str(self.path))

    def put_state(self, txn: lmdb.Transaction[bytes], state: State) -> None:
        txn.put(_STATE_KEY, encode_state(state), db=self._states)

    def replaced(self) -> bool:
        """Is the file at the path another one than was opened here?"""
        try:
            return _identity(self.path / _DATA) != self._file
        except FileNotFoundError:
            return True

    def file_bytes(self) -> int:
        try:
            return os.stat(self.path / _DATA).st_size
        except FileNotFoundError:
            return 0

    def damaged(self, what: str) -> ReplicaCorrupt:
        """Return the error for a file that holds what no gate wrote."""
        return _corrupt(self.path, what)

    def translate(self, error: lmdb.Error, action: str) -> ReplicaError:
        """Return the replica's own error for one of LMDB's."""
        if isinstance(error, _DAMAGE):
            return self.damaged(str(error))
        if error.code in _NO_SPACE and action == "write":
            free = os.statvfs(self.path)
            return ReplicaFull(
                f"cannot write the replica at {self.path}: {error}; "
                f"{free.f_bavail * free.f_frsize} bytes are free there; nothing was changed"
            )
        if "already open" in str(error):
            return ReplicaBusy(f"the replica at {self.path} is already open in this process")
        return ReplicaUnusable(f"cannot {action} the replica at {self.path}: {error}")


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _corrupt(path: Path, what: str) -> ReplicaCorrupt:
    return ReplicaCorrupt(
        f"the replica at {path} is damaged ({what}): set it aside and load a snapshot"
    )


def verify(path: Path) -> None:
    """Walk every page of a replica's file, without the LMDB engine and while nobody writes.

    About 1.3 s for a million names.  Raises ReplicaMissing or ReplicaCorrupt.
    """
    try:
        problems = verify_file(str(path))  # type: ignore[no-untyped-call]
    except FileNotFoundError as error:
        raise ReplicaMissing(f"no replica at {path}") from error
    except VerifyError as error:
        raise _corrupt(path, str(error)) from error
    if problems:
        raise _corrupt(path, f"{len(problems)} faults, the first: {problems[0]}")
