"""The gate's own record of its decisions, read while it is written.

A client that sees a reset can't tell a verdict from a broken connection. The gate can: each
blocked decision is a line in its log, with the name and the time.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

_MOST_BYTES = 32 << 20  # then the file begins anew: a soak is long


@dataclass(slots=True, frozen=True)
class Block:
    """A blocked decision: which name, for which reason, and when (Unix seconds)."""

    name: str
    reason: str
    time: float


@dataclass(slots=True)
class Record:
    """Reads the log of a gate that writes JSON; what is not about decisions is kept beside it."""

    log: Path
    events: Path
    """Where the other lines go."""
    blocks: int = 0
    suppressed: int = 0
    """Decisions that the gate did not write a line for."""
    levels: Counter[str] = field(default_factory=Counter)
    """Other lines, by severity."""
    _at: int = 0
    _rest: bytes = b""

    def read(self) -> Iterator[Block]:
        """The blocked decisions that were written since the last call."""
        with self.log.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        self._at += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._at > _MOST_BYTES:
            os.truncate(self.log, 0)
            self._at, self._rest = 0, b""
        with self.events.open("ab") as events:
            for line in lines:
                fields = _fields(line)
                if fields.get("event") == "decision":
                    self.blocks += 1
                    when = datetime.fromisoformat(fields["time"]).timestamp()
                    yield Block(fields["name"], fields["reason"], when)
                elif fields.get("event") == "suppressed":
                    self.suppressed += int(fields["count"])
                else:
                    self.levels[fields.get("level", "none")] += 1
                    events.write(line + b"\n")


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:  # of a process that was killed while it wrote, or not the gate's
        return {}
    return fields if isinstance(fields, dict) else {}
