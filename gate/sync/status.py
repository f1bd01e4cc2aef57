"""What the sync has done and where it stands, as plain figures for metrics, health and logs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from gate.changes.errors import Cause
from gate.sync.shrinking import HeldSnapshot


class Channel(StrEnum):
    """How something came from the registry."""

    PULL = "pull"
    PUSH = "push"
    NATS = "nats"


@dataclass(slots=True)
class SyncCounts:
    """Counters of one process; they only go up."""

    batches: Counter[Channel] = field(default_factory=Counter)
    """Batches that were applied, or were there already."""
    refused: Counter[tuple[Channel, Cause]] = field(default_factory=Counter)
    """Batches, snapshots and connections that came to nothing, by cause."""


@dataclass(slots=True, frozen=True)
class SyncStatus:
    """Where the sync stands. Times are Unix seconds, `staleness` is seconds."""

    registry: str
    epoch: str
    revision: int
    """Of the replica."""
    enforced: int
    """Every worker is known to stand there at least."""
    head: int
    """The registry's newest revision that this gate has heard of."""
    staleness: float | None
    """Since the registry last said that this gate has all there is; None if it never did."""
    stale: bool
    changes: int
    snapshots: int
    connected: dict[Channel, bool]
    last_error: str
    last_error_at: float
    held: HeldSnapshot | None
    """A snapshot that waits for a person's word."""
