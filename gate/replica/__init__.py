"""The filed set on this machine."""

from gate.replica.errors import (
    OldEpoch,
    ReplicaBusy,
    ReplicaCorrupt,
    ReplicaError,
    ReplicaFull,
    ReplicaMissing,
    RevisionGap,
)
from gate.replica.records import Change, Filing, Position, Status
from gate.replica.store import Override, Replica

__all__ = [
    "Change",
    "Filing",
    "OldEpoch",
    "Override",
    "Position",
    "Replica",
    "ReplicaBusy",
    "ReplicaCorrupt",
    "ReplicaError",
    "ReplicaFull",
    "ReplicaMissing",
    "RevisionGap",
    "Status",
]
