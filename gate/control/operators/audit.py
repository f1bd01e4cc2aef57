"""Who changed what on a running gate, and when: a file that only grows.

One JSON object a line. A change is written here, and to the disk, before it is made: without a
line there is no change.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from gate.control.errors import ControlError

_TAIL_BYTES: Final = 1 << 20


class AuditError(ControlError):
    """The audit log cannot be written, so nothing was changed."""


@dataclass(slots=True, frozen=True)
class AuditEntry:
    """One change. `actor` is how the caller proved who they are, `by` who they say they are."""

    time: str
    actor: str
    peer: str
    by: str
    action: str
    target: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


class AuditLog:
    """The audit log in one file."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    def record(
        self, *, actor: str, peer: str, by: str, action: str, target: str = "", **detail: Any
    ) -> AuditEntry:
        """Add a line, and return when it is on the disk. Raises AuditError."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        entry = AuditEntry(stamp, actor, peer, by, action, target, detail)
        line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                _append(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AuditError(
                f"the audit log {self._path} cannot be written: {error.strerror}; nothing was "
                "changed, make it writable and try again"
            ) from error
        return entry

    def newest(self, limit: int) -> list[AuditEntry]:
        """Return the last entries, oldest first; no more than stand in the last MiB of the file."""
        try:
            with self._path.open("rb") as file:
                start = max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0)
                file.seek(start)
                if start:
                    file.readline()  # the rest of a line
                lines = deque(file, maxlen=limit)
        except FileNotFoundError:
            return []
        return [entry for line in lines if (entry := _entry(line)) is not None]


def _append(descriptor: int, line: bytes) -> None:
    """Write a whole line to the disk, or none of it. Raises OSError."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line  # a crash has cut the last one short: it alone is damaged
    try:
        written = 0
        while written < len(line):  # a disk that fills up takes a part, and refuses the rest
            written += os.write(descriptor, line[written:])
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _entry(line: bytes) -> AuditEntry | None:
    """Return the entry of a line; None for one that a crash or a hand has damaged."""
    try:
        return AuditEntry(**json.loads(line))
    except (ValueError, TypeError):
        return None
