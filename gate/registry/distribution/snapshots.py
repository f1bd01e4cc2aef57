"""Snapshots of the filed set for gates that begin, or that fell behind the kept log.

A snapshot is a file: the canonical lines `domain TAB status TAB licence LF` of every domain that
is not absent, sorted by domain, compressed. It is made from one state of the database, and given
to every gate that asks until it is old; the changes since then are in the log.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final, NoReturn

from sqlalchemy import ColumnElement, Connection, FromClause, Select, func, select

from gate.changes.snapshot import Manifest
from gate.files import draft
from gate.filings import Status
from gate.registry import log, queries
from gate.registry.distribution.given import Given, GivenSet
from gate.registry.errors import RegistryError
from gate.registry.log import Head
from gate.registry.registry import Registry
from gate.registry.schema import domains, overrides

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_log = logging.getLogger(__name__)

_ROWS: Final = 20_000
_LEVEL: Final = 1
_SMALL: Final = 100_000
"""A set that is made in well under a second is made anew for every new revision."""
_GIVEN: Final = 16
"""Small snapshots that are kept behind the newest one."""


@dataclass(slots=True, frozen=True)
class SnapshotFile:
    """A finished snapshot: where it is, and its manifest."""

    path: Path
    manifest: Manifest


@dataclass(slots=True, frozen=True)
class HeldSet:
    """A set that waits for a person's word.

    `before` domains were filed in the set that was given out last, `filed` are now.
    """

    epoch: str
    revision: int
    before: int
    filed: int

    def is_of(self, head: Head) -> bool:
        """Return whether it is the set at this place of the log."""
        return (self.epoch, self.revision) == (head.epoch, head.revision)

    def refusal(self) -> RegistryError:
        """Why it is not given out."""
        return RegistryError("snapshot_held", before=self.before, filed=self.filed)


class Snapshots:
    """The newest snapshot of a registry, in a folder of its own.

    One that has shrunk by more than the share `max_shrink` since the last that was given out,
    unexplained by the log, is given out only on a person's word.
    """

    def __init__(
        self, registry: Registry, folder: Path, *, seconds: float, keep: int, max_shrink: float
    ) -> None:
        self._registry = registry
        self._folder = folder
        self._max_shrink = max_shrink
        self._given_out = Given(folder.with_name("given.json"))
        self._checked: Head | None = None
        self.held: HeldSet | None = None
        """A set that waits for a person's word."""
        self._seconds = seconds
        self._far = keep // 2
        self._lock = Lock()
        self._newest: SnapshotFile | None = None
        # Given to somebody who may not have opened them yet.
        self._given: deque[Path] = deque()
        self._made = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("snapshot-*"):
            left.unlink()

    def current(self) -> SnapshotFile:
        """The newest snapshot, or a new one if that is too old; whoever asks meanwhile waits.

        Raises RegistryError, also `snapshot_held`, or OSError.
        """
        with self._lock:
            head = self._registry.head()
            newest = self._newest
            if newest is None or self._is_old(newest, head):
                self._check()
                made = self._make()
                if newest is not None:
                    self._give_up(newest)
                self._newest = newest = made
                self._made = time.monotonic()
            return newest

    def check(self) -> None:
        """Look whether the set may be given out, and remember it. Raises `snapshot_held`."""
        with self._lock:
            self._check()

    def _check(self) -> None:
        with self._registry.database.read() as connection:
            head = log.head(connection)
            if head == self._checked:
                return
            accepted = log.is_accepted(connection, head)
            if self.held is not None and self.held.is_of(head) and not accepted:
                raise self.held.refusal()
            filed = queries.count_filed(connection)
        last = self._given_out.last
        if last is not None and not accepted:
            missing = last.unexplained(head, filed)
            if missing > self._max_shrink * last.filed:
                self._hold(HeldSet(head.epoch, head.revision, last.filed, filed))
        self.held = None
        self._checked = head
        self._given_out.remember(GivenSet(head.epoch, head.revision, filed))

    def _hold(self, held: HeldSet) -> NoReturn:
        if held != self.held:
            _log.error("%s", held.refusal())
        self.held = held
        raise held.refusal()

    def _give_up(self, snapshot: SnapshotFile) -> None:
        """Remove a snapshot, a little later: small ones follow each other quickly."""
        self._given.append(snapshot.path)
        keep = _GIVEN if snapshot.manifest.count < _SMALL else 1
        while len(self._given) > keep:
            self._given.popleft().unlink(missing_ok=True)

    def _is_old(self, snapshot: SnapshotFile, head: Head) -> bool:
        manifest = snapshot.manifest
        if (manifest.epoch, manifest.revision) == (head.epoch, head.revision):
            return False
        return (
            manifest.epoch != head.epoch
            or manifest.count < _SMALL
            or head.revision - manifest.revision > self._far
            or time.monotonic() - self._made > self._seconds
        )

    def _make(self) -> SnapshotFile:
        began = time.monotonic()
        with (
            draft(self._folder, "snapshot-") as new,
            self._registry.database.read() as connection,
        ):
            head = log.head(connection)
            count, digest = _write(connection, new.file)
            path = self._folder / f"snapshot-{head.epoch}-{head.revision}.zst"
            new.put(path, durable=False)  # made anew at every start
        _log.info(
            "made a snapshot of %d domains at revision %d in %.1f s",
            count,
            head.revision,
            time.monotonic() - began,
        )
        created = self._registry.now()
        return SnapshotFile(path, Manifest(head.epoch, head.revision, count, digest, created))


def _write(connection: Connection, file: IO[bytes]) -> tuple[int, str]:
    """Write the compressed lines; gives back their number and their SHA-256 in hex."""
    rows = connection.execution_options(yield_per=_ROWS).execute(_lines(connection))
    digest = hashlib.sha256()
    squeeze = zstd.ZstdCompressor(level=_LEVEL)
    count = 0
    for lines in rows.scalars().partitions():
        data = "".join(lines).encode()
        count += len(lines)
        digest.update(data)
        file.write(squeeze.compress(data))
    file.write(squeeze.flush())
    return count, digest.hexdigest()


def _lines(connection: Connection) -> Select[Any]:
    """Return the query of the lines: what operators decided lies over what is on record."""
    status: ColumnElement[str] = domains.c.status
    licence: ColumnElement[str] = domains.c.licence
    source: FromClause = domains
    if connection.execute(select(overrides.c.domain).limit(1)).first() is not None:
        source = domains.outerjoin(overrides, overrides.c.domain == domains.c.domain)
        status = func.coalesce(overrides.c.status, status)
        licence = func.coalesce(overrides.c.licence, licence)
    line = domains.c.domain + "\t" + status + "\t" + licence + "\n"
    return (
        select(line)
        .select_from(source)
        .where(status != Status.ABSENT.value)
        .order_by(domains.c.domain)
    )
