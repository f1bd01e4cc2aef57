"""Which process runs the gate of a state folder."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from gate.cli.failure import fail

_FLOCK: Final = struct.Struct("@hhqqi0q")  # Linux, struct flock: type, whence, start, len, pid


def holder(path: Path) -> int | None:
    """Return the process that holds the lock `path` (see Settings.lock_path), None for nobody.

    The lock is only asked about, so that a gate which starts just now is not in the way of it.
    """
    try:
        with path.open("rb") as file:
            wanted = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, wanted))
    except FileNotFoundError:
        return None
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}")
    return None if kind == fcntl.F_UNLCK else pid
