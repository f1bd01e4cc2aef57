"""What becomes of a damaged replica: it is set aside, and an empty one takes its place."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from gate.replica.errors import ReplicaCorrupt
from gate.replica.store import Replica

_log = logging.getLogger(__name__)


def open_or_replace(path: Path) -> Replica:
    """Return the replica, open for writing; a damaged one is set aside for an empty one.

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


def set_aside(path: Path | str, now: float) -> Path:
    """Move a damaged replica out of the way, kept for inspection; return where it went.

    Every process that has it open must close it and open the new one.
    """
    path = Path(path)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    suffix = 0
    while target.exists():
        suffix += 1
        target = path.with_name(f"{path.name}.corrupt-{stamp}-{suffix}")
    os.rename(path, target)
    return target
