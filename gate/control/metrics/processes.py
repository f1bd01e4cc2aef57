"""What a process has used, from /proc."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gate.ipc.scoreboard import Board

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True, frozen=True)
class Usage:
    """Resident memory, user and system time, and open files of one process."""

    memory_bytes: int
    cpu_seconds: float
    open_files: int


def usage(board: Board) -> dict[str, Usage]:
    """Return the usage of each process of the gate that is there, by its name."""
    pids = {"supervisor": os.getppid()} | {row.name: row.pid for row in board if row.pid}
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            folder = Path(f"/proc/{pid}")
            # Fields after the program's name, which may hold spaces; see proc(5).
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            found[name] = Usage(
                memory_bytes=int(fields[21]) * _PAGE,
                cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
                open_files=len(os.listdir(folder / "fd")),
            )
    return found
