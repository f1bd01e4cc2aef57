"""Counters of the upstream in a shared file, read by the side that checks the rounds."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(slots=True)
class Counts:
    """What has reached the upstream since its start."""

    connections: int = 0
    short: int = 0
    bulk_bytes: int = 0
    held: int = 0
    echoes: int = 0
    posts: int = 0
    post_bytes: int = 0
    strange: int = 0

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


_LAYOUT = struct.Struct(f"={len(fields(Counts))}q")


class CounterFile:
    """A page shared between the upstream, which writes, and the bench, which reads."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_LAYOUT.size))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _LAYOUT.size)

    def publish(self, counts: Counts) -> None:
        """Write all counters."""
        _LAYOUT.pack_into(self._page, 0, *(getattr(counts, field.name) for field in fields(counts)))

    def read(self) -> Counts:
        """The counters as last published."""
        return Counts(*_LAYOUT.unpack_from(self._page, 0))
