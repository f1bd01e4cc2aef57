"""The registry's change log, as pusher and publisher need it."""

from __future__ import annotations

from typing import Protocol

from gate.changes.batch import Batch


class Log(Protocol):
    """A log that can be read on from any kept revision, and waited for."""

    @property
    def epoch(self) -> str:
        """The current epoch."""

    @property
    def revision(self) -> int:
        """The newest revision that was seen; the log may be further."""

    async def batch_after(self, revision: int) -> Batch:
        """Return the next batch after `revision`; one without changes at the head.

        Raises SyncError: `compacted` if `revision` is too old or beyond the head, `unreachable`
        if the log can't be read now.
        """

    async def wait_beyond(self, revision: int, seconds: float) -> None:
        """Return when the log is beyond `revision` or in a new epoch, or after `seconds`."""

    async def seal(self, batch: Batch) -> bytes:
        """Return the batch in a signed envelope. Raises SyncError."""
