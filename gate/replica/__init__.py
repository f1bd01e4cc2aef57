"""The filed set on disk, in LMDB: exact, with status and licence, revisioned, crash-safe."""

from gate.replica.aside import set_aside
from gate.replica.environment import verify
from gate.replica.errors import (
    BadChange,
    NewEpoch,
    OldEpoch,
    PositionError,
    ReplicaBusy,
    ReplicaCorrupt,
    ReplicaError,
    ReplicaFull,
    ReplicaMissing,
    ReplicaUnusable,
    RevisionGap,
)
from gate.replica.records import (
    Change,
    Filing,
    Override,
    OverrideKind,
    Position,
    Status,
    digest,
    digest_line,
)
from gate.replica.store import LOCAL_EPOCH, Info, Replica

__all__ = [
    "LOCAL_EPOCH",
    "BadChange",
    "Change",
    "Filing",
    "Info",
    "NewEpoch",
    "OldEpoch",
    "Override",
    "OverrideKind",
    "Position",
    "PositionError",
    "Replica",
    "ReplicaBusy",
    "ReplicaCorrupt",
    "ReplicaError",
    "ReplicaFull",
    "ReplicaMissing",
    "ReplicaUnusable",
    "RevisionGap",
    "Status",
    "digest",
    "digest_line",
    "set_aside",
    "verify",
]
