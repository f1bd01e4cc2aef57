"""What can go wrong between a registry and a gate.

Everything that came from outside and is refused raises a `SyncError`; its `cause` is a stable
word, used as the metric label, in the log line and in the answer's body.
"""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why a batch, a snapshot or a connection was refused."""

    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    OLD_EPOCH = "old_epoch"
    NEW_EPOCH = "new_epoch"
    OLD_REVISION = "old_revision"
    SHRINKS = "shrinks"
    GAP = "gap"
    OVERSIZE = "oversize"
    MALFORMED = "malformed"
    DIGEST = "digest"
    TRUNCATED = "truncated"
    COMPACTED = "compacted"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNENFORCED = "unenforced"
    STORAGE = "storage"
    CORRUPT = "corrupt"
    HANDSHAKE = "handshake"
    LIMIT = "limit"


class ChangesError(Exception):
    """Changes, or the keys that sign them, can't be used; says why and what to do."""


class SyncError(ChangesError):
    """Something was refused or could not be done; nothing of it was applied.

    The message says what was wrong, where, and what to do.
    """

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Unacceptable(SyncError):
    """The registry has read what was sent and will not take it, however often it is sent."""

    def __init__(self, message: str, *, too_large: bool, field: str = "") -> None:
        """`field` is the one that it complains of, with dots between its parts."""
        super().__init__(Cause.REFUSED, message)
        self.too_large = too_large
        self.field = field


class Gap(SyncError):
    """A batch starts after the revision that the replica has; `have` says which."""

    def __init__(self, have: int, start: int) -> None:
        super().__init__(
            Cause.GAP,
            f"the batch starts at revision {start} and this gate has {have}; "
            f"send the changes since {have}",
        )
        self.have = have
