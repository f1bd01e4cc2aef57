"""The filed set on disk, in LMDB: exact, with status and licence, revisioned, crash-safe."""

from gate.replica.difference import Check, Difference, within
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
    SetShrinks,
)
from gate.replica.records import digest, digest_line
from gate.replica.recovery import open_or_replace, put_aside, set_aside
from gate.replica.store import LOCAL_EPOCH, Info, Replica

__all__ = [
    "LOCAL_EPOCH",
    "BadChange",
    "Check",
    "Difference",
    "Info",
    "NewEpoch",
    "OldEpoch",
    "PositionError",
    "Replica",
    "ReplicaBusy",
    "ReplicaCorrupt",
    "ReplicaError",
    "ReplicaFull",
    "ReplicaMissing",
    "ReplicaUnusable",
    "RevisionGap",
    "SetShrinks",
    "digest",
    "digest_line",
    "open_or_replace",
    "put_aside",
    "set_aside",
    "verify",
    "within",
]
