"""The change log as it leaves the registry: read from the feed, and signed."""

from __future__ import annotations

import asyncio
from typing import Final

from gate.changes.batch import Batch
from gate.changes.errors import Cause, SyncError
from gate.changes.keys import KeyStoreError
from gate.registry.distribution.feed import Feed
from gate.registry.distribution.sealing import Sealer
from gate.registry.errors import RegistryError

_FEW: Final = 50


class SignedLog:
    """The feed with its signatures, as `gate.registry.distribution.log.Log` wants it."""

    def __init__(self, feed: Feed, sealer: Sealer) -> None:
        self._feed = feed
        self._sealer = sealer

    @property
    def epoch(self) -> str:
        """The current epoch."""
        return self._feed.head.epoch

    @property
    def revision(self) -> int:
        """The newest revision that was seen."""
        return self._feed.head.revision

    async def batch_after(self, revision: int) -> Batch:
        """Return the next batch. Raises SyncError: `compacted` or `unreachable`."""
        try:
            return await self._feed.batch_after(revision)
        except RegistryError as error:
            gone = error.code in {"compacted", "ahead"}
            cause = Cause.COMPACTED if gone else Cause.UNREACHABLE
            raise SyncError(cause, error.en) from error

    async def wait_beyond(self, revision: int, seconds: float) -> None:
        """Wait for the log to move."""
        await self._feed.wait_beyond(revision, seconds)

    async def seal(self, batch: Batch) -> bytes:
        """Return the batch in its envelope. Raises SyncError."""
        try:
            if len(batch.changes) <= _FEW:  # sooner done than handed to a thread
                return self._sealer.batch(batch)
            return await asyncio.to_thread(self._sealer.batch, batch)
        except KeyStoreError as error:
            raise SyncError(Cause.UNREACHABLE, str(error)) from error
