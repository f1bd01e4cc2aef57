"""Snapshots of the filed set for gates that begin, or that fell behind the kept log.

A snapshot is a file: the canonical lines `domain TAB status TAB licence LF` of every domain that
is not absent, sorted by domain, compressed. It is made from one state of the database, and given
to every gate that asks until it is old; the changes since then are in the log.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from sqlalchemy import Connection, select

from gate.registry import log
from gate.registry.log import Head
from gate.registry.registry import Registry
from gate.registry.schema import domains
from gate.replica import Status
from gate.sync.snapshot import Manifest

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


class Snapshots:
    """The newest snapshot of a registry, in a folder of its own."""

    def __init__(self, registry: Registry, folder: Path, *, seconds: float, keep: int) -> None:
        self._registry = registry
        self._folder = folder
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

        Raises RegistryError or OSError.
        """
        with self._lock:
            head = self._registry.head()
            newest = self._newest
            if newest is None or self._is_old(newest, head):
                made = self._make()
                if newest is not None:
                    self._give_up(newest)
                self._newest = newest = made
                self._made = time.monotonic()
            return newest

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
        descriptor, part = tempfile.mkstemp(dir=self._folder, prefix="snapshot-", suffix=".part")
        try:
            with (
                os.fdopen(descriptor, "wb") as file,
                self._registry.database.read() as connection,
            ):
                head = log.head(connection)
                count, digest = _write(connection, file)
            path = self._folder / f"snapshot-{head.epoch}-{head.revision}.zst"
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        _log.info(
            "made a snapshot of %d domains at revision %d in %.1f s",
            count,
            head.revision,
            time.monotonic() - began,
        )
        created = self._registry.now()
        return SnapshotFile(path, Manifest(head.epoch, head.revision, count, digest, created))


def _write(connection: Connection, file: BinaryIO) -> tuple[int, str]:
    """Write the compressed lines; gives back their number and their SHA-256 in hex."""
    line = domains.c.domain + "\t" + domains.c.status + "\t" + domains.c.licence + "\n"
    rows = connection.execution_options(yield_per=_ROWS).execute(
        select(line).where(domains.c.status != Status.ABSENT.value).order_by(domains.c.domain)
    )
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
