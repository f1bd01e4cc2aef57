"""Signing what leaves the registry with the keys of its key folder.

The folder is looked at again when its set of keys changed, so that `gate keys new` and
`gate keys retire` take effect without a restart. Envelopes are kept for a moment: two hundred
gates that wait for the same change cost one signature.
"""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Lock
from typing import Final

from cachetools import LRUCache

from gate.changes.batch import PAYLOAD_TYPE, Batch
from gate.changes.envelope import seal
from gate.changes.keys import KeyStore, KeyStoreError

_log = logging.getLogger(__name__)

_KEPT: Final = 64


class Sealer:
    """Makes signed envelopes. Safe to use from any thread."""

    def __init__(self, keys_dir: Path) -> None:
        """Open a key folder; one without keys gets its first.

        Raises KeyStoreError when the folder or a key can't be read.
        """
        self._store = KeyStore(keys_dir)
        self._lock = Lock()
        self._kept: LRUCache[tuple[str, int, int, int, int], bytes] = LRUCache(_KEPT)
        if not self._store.public_path.exists():
            key = self._store.new()
            _log.info(
                "made the first signing key %s; gates trust %s",
                key.keyid[:12],
                self._store.public_path,
            )
        self._stamp = self._look()
        self._signers = self._store.signers()

    @property
    def public_path(self) -> Path:
        """The file of public keys that gates trust."""
        return self._store.public_path

    def batch(self, batch: Batch) -> bytes:
        """Return a batch in its envelope. Raises SyncError(oversize) or KeyStoreError."""
        key = (batch.epoch, batch.from_revision, batch.to_revision, batch.head, batch.issued_at)
        with self._lock:
            self._refresh()
            sealed = self._kept.get(key)
            if sealed is None:
                sealed = seal(batch.encode(), PAYLOAD_TYPE, self._signers)
                self._kept[key] = sealed
        return sealed

    def payload(self, payload: bytes, payload_type: str) -> bytes:
        """Any other payload in its envelope. Raises KeyStoreError."""
        with self._lock:
            self._refresh()
            return seal(payload, payload_type, self._signers)

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp != self._stamp:
            self._signers = self._store.signers()
            self._stamp = stamp
            self._kept.clear()
            _log.info("signing with %d key(s) now", len(self._signers))

    def _look(self) -> tuple[int, int]:
        try:
            found = self._store.public_path.stat()
        except OSError as error:
            raise KeyStoreError(f"can't read {self._store.public_path}: {error}") from error
        return found.st_mtime_ns, found.st_ino
