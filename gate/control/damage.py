"""A damaged replica: kept aside, and an empty one takes its place."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from gate.replica import Replica, ReplicaCorrupt, set_aside

_log = logging.getLogger("gate.sync")


def open_replica(path: Path) -> Replica:
    """Open the replica for writing; a damaged one is set aside, and an empty one takes its place.

    Raises ReplicaError.
    """
    try:
        return Replica.open(path, writable=True)
    except ReplicaCorrupt as error:
        put_aside(path, error)
        return Replica.open(path, writable=True)


def put_aside(path: Path, why: Exception) -> None:
    """Move a damaged replica out of the way and say so."""
    kept = set_aside(path, time.time())
    _log.error(
        "%s; it is kept at %s, and the gate takes no traffic until a snapshot or an import has "
        "filled a new one; operators' exemptions and suspensions were in it and are in force no "
        "more: make them again, audit.jsonl tells which",
        why,
        kept,
    )
