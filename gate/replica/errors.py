"""What can go wrong with a replica."""

from __future__ import annotations

from gate.filings import Position


class ReplicaError(Exception):
    """Base of every error of this package; the message says what, where and what to do."""


class ReplicaMissing(ReplicaError):
    """There is no replica at the path: nothing was imported or synced yet."""


class ReplicaCorrupt(ReplicaError):
    """The replica's file is damaged; it must be set aside and rebuilt from a snapshot."""


class ReplicaBusy(ReplicaError):
    """Somebody else holds what is needed: a bulk load, or a second opening in one process."""


class ReplicaUnusable(ReplicaError):
    """The operating system refuses: permissions, address space, a read-only opening."""


class ReplicaFull(ReplicaError):
    """The file system refused a write; nothing of the change was kept, nothing was lost."""


class SetShrinks(ReplicaError):
    """A new set would close more than it may without a person's word; the old one stays.

    `closing` of the `filed` domains would be filed no longer; `bound` is the share that may.
    """

    def __init__(self, closing: int, filed: int, bound: float) -> None:
        super().__init__(
            f"{closing} of {filed} filed domains would close, more than {bound:.0%} of them"
        )
        self.closing = closing
        self.filed = filed
        self.bound = bound


class BadChange(ReplicaError):
    """A change or filing that must not enter the replica; `domain` says which."""

    def __init__(self, domain: str, reason: str) -> None:
        super().__init__(f"{domain!r} refused: {reason}")
        self.domain = domain
        self.reason = reason


class PositionError(ReplicaError):
    """A batch or snapshot that does not fit the replica's position, `have`."""

    def __init__(self, message: str, have: Position | None) -> None:
        super().__init__(message)
        self.have = have


class RevisionGap(PositionError):
    """The batch does not start where the replica stands (a gap, or a repeat)."""


class OldEpoch(PositionError):
    """The epoch is one that the replica has already left behind."""


class NewEpoch(PositionError):
    """The epoch is unknown to the replica: it needs a snapshot first."""
