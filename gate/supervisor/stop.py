"""The stop of a gate: a delay for load balancers, the drain of the workers, then all the rest."""

from __future__ import annotations

import logging
import math
import signal
import time

from gate.ipc.scoreboard import Board
from gate.settings import Process
from gate.supervisor.children import STOP_GRACE, Children
from gate.supervisor.sockets import Ports

_log = logging.getLogger(__name__)


class Stop:
    """A stop, once it has begun."""

    def __init__(self, children: Children, board: Board, ports: Ports) -> None:
        self._children = children
        self._board = board
        self._ports = ports
        self._drain_at = math.inf
        self._kill_at = math.inf
        self.killed = False
        """Did a child have to be killed in it?"""

    def begin(self, process: Process) -> None:
        """Say that the gate takes no traffic soon; it still accepts for `drain_delay`."""
        _log.info("stopping; open connections have %g s to end", process.drain_seconds)
        self._board.draining = True
        self._drain_at = time.monotonic() + process.drain_delay
        self._kill_at = self._drain_at + process.drain_seconds + STOP_GRACE

    def hurry(self) -> None:
        """Kill what is there; there is no more patience."""
        _log.warning("stopping at once")
        self._drain_at = self._kill_at = time.monotonic()

    def next_time(self, *, draining: bool) -> float:
        """Return when there is something to do (monotonic)."""
        return self._kill_at if draining else self._drain_at

    def is_drain_due(self, now: float) -> bool:
        """Return whether the time to accept is over."""
        return now >= self._drain_at

    def drain(self) -> None:
        """Accept no more, and have the workers end as their connections do."""
        self._ports.stop_accepting()
        self._children.end(lambda child: child.role.carries_traffic)

    def go_on(self, now: float) -> None:
        """End the rest once the workers have ended; kill what is late."""
        if now >= self._kill_at:
            for child in self._children:
                _log.error("%s did not end in time; killed", child)
                child.signal(signal.SIGKILL)
                child.leaving = True
                self.killed = True
            self._kill_at = now + STOP_GRACE
        elif not any(child.role.carries_traffic for child in self._children):
            self._children.end(lambda child: not child.leaving)
