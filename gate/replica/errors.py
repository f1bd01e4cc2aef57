"""What can go wrong with a replica. Each message says what, where, and what to do."""

from __future__ import annotations


class ReplicaError(Exception):
    """Base of the replica's errors."""


class ReplicaMissing(ReplicaError):
    """There is no replica at the path."""


class ReplicaCorrupt(ReplicaError):
    """The files are no replica, or a damaged one."""


class ReplicaBusy(ReplicaError):
    """Another process writes the replica."""


class ReplicaFull(ReplicaError):
    """The file system has no room; the change was not applied, the replica is as before."""


class RevisionGap(ReplicaError):
    """A batch does not follow on what the replica has; `have` is its revision."""

    def __init__(self, have: int, from_revision: int) -> None:
        super().__init__(
            f"the replica is at revision {have}, the batch starts at {from_revision}: "
            f"send the changes since {have}"
        )
        self.have = have


class OldEpoch(ReplicaError):
    """A batch is of another epoch of the registry than the replica."""
