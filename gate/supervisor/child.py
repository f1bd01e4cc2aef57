"""A child process of the supervisor: its role, and how it begins."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from gate.ipc.scoreboard import ProcessRow
from gate.supervisor import privileges

RETIRE = signal.SIGUSR1
TAKEN = {
    *(signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2),
    *(signal.SIGALRM, RETIRE),
}
"""The signals that the supervisor blocks and takes one at a time; RETIRE means nothing to it."""


@dataclass(slots=True, frozen=True)
class ProcessRole:
    """One kind of child process."""

    name: str
    """Its row on the board: `control`, `worker-0`, ..."""
    main: Callable[[ProcessRow], int]
    """What the child does; runs after the fork with the row that it gives its signs of life in,
    and returns the exit status."""
    carries_traffic: bool
    """Ends first on a stop; on a reload its successor serves before it retires."""


@dataclass(slots=True, eq=False)
class Child:
    """A running child."""

    pid: int
    role: ProcessRole
    started: float
    """When, on the monotonic clock."""
    leaving: bool = False
    """Told to end: its end is no fault."""
    retired: float = math.inf
    """When it was told to take no more connections (monotonic)."""
    kill_at: float = math.inf
    """When it is killed, if it has not ended by then (monotonic)."""

    def signal(self, number: int) -> None:
        """Send it a signal; it may have ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def __str__(self) -> str:
        return f"{self.role.name} (process {self.pid})"


def be_child(role: ProcessRole, row: ProcessRow, parent: int) -> None:
    """Run the role in a fresh child and end the process."""
    status = 1
    try:
        privileges.die_with_parent()
        if os.getppid() != parent:  # it ended before it could be watched
            os._exit(status)
        # A terminal's INT, and a service manager's TERM, go to the whole process group; the
        # parent alone decides what comes of them.
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        if not role.carries_traffic:
            signal.signal(RETIRE, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TAKEN)
        status = role.main(row)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
