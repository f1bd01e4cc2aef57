"""From bytes that somebody sent to a batch or manifest that the registry signed."""

from __future__ import annotations

from pathlib import Path

from gate.changes import batch as batches
from gate.changes.batch import Batch
from gate.changes.envelope import unseal
from gate.changes.errors import Cause, SyncError
from gate.changes.keys import KeyStoreError, TrustedKeys
from gate.changes.snapshot import MANIFEST_TYPE, MAX_MANIFEST, Manifest, decode_manifest


class Verifier:
    """Checks signatures against the trusted keys in a file."""

    def __init__(self, public_keys: Path) -> None:
        self._trusted = TrustedKeys(public_keys)

    def batch(self, sealed: bytes) -> Batch:
        """Return a signed batch. Raises SyncError."""
        return batches.decode(self._unseal(sealed, batches.PAYLOAD_TYPE, batches.MAX_ENVELOPE))

    def manifest(self, sealed: bytes) -> Manifest:
        """Return a signed manifest. Raises SyncError."""
        return decode_manifest(self._unseal(sealed, MANIFEST_TYPE, MAX_MANIFEST))

    def _unseal(self, sealed: bytes, payload_type: str, limit: int) -> bytes:
        try:
            trusted = self._trusted.current()
        except KeyStoreError as error:
            raise SyncError(Cause.UNKNOWN_KEY, str(error)) from error
        return unseal(sealed, payload_type, trusted, limit=limit)
