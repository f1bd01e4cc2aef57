"""The children that run: started, started again when they die, killed when they hang.

A role has one child, whose numbers stand in its row on the board. Beside it there may be children
that it has replaced: they keep their open connections for a while, and are waited for.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gate.ipc.scoreboard import MOST_REPLACED, Board
from gate.supervisor.child import RETIRE, Child, ProcessRole, be_child

_log = logging.getLogger(__name__)

STOP_GRACE: Final = 5.0
"""Seconds beyond a deadline, for a child that cuts its last connections."""

_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 30.0
_SETTLED: Final = 10.0  # a child that lived this long did not die at its start


@dataclass(slots=True, frozen=True)
class Ended:
    """A child that is no more."""

    child: Child
    code: int
    """Its exit status, or less the number of the signal that has killed it."""
    unasked: bool
    """It held its role's row, and nobody had told it to end."""

    def __str__(self) -> str:
        if self.code < 0:
            return f"{self.child} was killed by {signal.Signals(-self.code).name}"
        return f"{self.child} ended with {self.code}"


class Children:
    """The child processes of one gate."""

    def __init__(self, board: Board, roles: Iterable[ProcessRole]) -> None:
        self._board = board
        self._roles = {role.name: role for role in roles}
        self._running: dict[int, Child] = {}
        self._delays: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._successions: set[str] = set()  # roles whose old child ends before the new one starts

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._running.values()))

    def __len__(self) -> int:
        return len(self._running)

    @property
    def roles(self) -> list[ProcessRole]:
        """The roles that children are started in from now on."""
        return list(self._roles.values())

    def use(self, roles: Iterable[ProcessRole]) -> None:
        """Start children in these roles from now on; their names are the same."""
        self._roles = {role.name: role for role in roles}

    def holder_of(self, name: str) -> Child | None:
        """Return the running child that has the row of a role, unless it was told to end."""
        child = self._running.get(self._board.row(name).pid)
        return None if child is None or child.leaving else child

    def predecessors(self) -> list[Child]:
        """Return those that have a successor and have not been told to end."""
        return [
            child
            for child in self._running.values()
            if not child.leaving and self._board.row(child.role.name).pid != child.pid
        ]

    def carry_traffic(self) -> bool:
        """Return whether a child serves in every role that carries traffic."""
        carrying = (role.name for role in self._roles.values() if role.carries_traffic)
        return all(self._board.row(name).serving for name in carrying)

    def due_times(self) -> Iterable[float]:
        """Return when dead ones are started again, and late ones killed (monotonic)."""
        return [*self._due.values(), *(child.kill_at for child in self._running.values())]

    def are_settled(self) -> bool:
        """Return whether nobody waits for a predecessor's end, or for its successor to serve."""
        return not self._successions and not self.predecessors()

    # Starting

    def start_missing(self, which: Callable[[ProcessRole], bool] = lambda role: True) -> None:
        """Start a child in every role, or in some of them, that has never had one."""
        for role in self.roles:
            if not self._board.row(role.name).pid and which(role):
                self.start(role.name)

    def start(self, name: str, *, restarted: bool = False) -> None:
        """Fork a child for a role; in the child this never returns."""
        self._due.pop(name, None)
        self._successions.discard(name)
        role, row = self._roles[name], self._board.row(name)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            be_child(role, row, parent)
        row.begin(pid, restarted=restarted)
        self._running[pid] = Child(pid, role, time.monotonic())
        _log.debug("%s started as process %d", name, pid)

    def start_due(self, now: float) -> None:
        """Start those again whose time has come."""
        for name in [name for name, due in self._due.items() if due <= now]:
            self.start(name, restarted=True)

    def start_again_later(self, ended: Ended) -> None:
        """Plan the restart of one that has died; the more often it did, the later."""
        now, name = time.monotonic(), ended.child.role.name
        delay = 0.0
        if now - ended.child.started < _SETTLED:
            delay = min(_LONGEST_DELAY, max(_FIRST_DELAY, 2 * self._delays.get(name, 0.0)))
        self._delays[name] = delay
        self._due[name] = now + delay
        _log.error("%s; starting it again in %.1f s", ended, delay)

    def adopt(self, pid: int, name: str, *, beats: bool, kill_at: float | None) -> None:
        """Take over a worker that the program before this one has started.

        It is a predecessor, as in a reload. `beats` says whether it gives signs of life, `kill_at`
        when a retired one is killed, None for one that was not told to end.
        """
        child = Child(pid, self._roles[name], time.monotonic(), kill_at is not None)
        if kill_at is not None:
            child.kill_at = kill_at
        self._running[pid] = child
        self._board.replaced.add(pid, beats=beats)

    # Ending

    def reap(self) -> Iterator[Ended]:
        """Take the exit status of every child that has ended, one after another.

        What comes of one may change what is said of the next.
        """
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._running.pop(pid, None)
            if child is None:
                continue
            self._board.replaced.remove(pid)
            unasked = not child.leaving and self._board.row(child.role.name).pid == pid
            yield Ended(child, os.waitstatus_to_exitcode(status), unasked)

    def start_successor(self, ended: Ended) -> None:
        """Start the successor that has waited for the end of this one, if there is one."""
        if ended.child.role.name in self._successions:
            self.start(ended.child.role.name)

    def end(self, which: Callable[[Child], bool]) -> None:
        """Tell children to end; a retired one learns that its time is shorter now."""
        for child in self:
            if which(child):
                child.leaving = True
                child.signal(signal.SIGTERM)

    def retire(self, child: Child, seconds: float) -> None:
        """Tell a worker to take no more connections, and to end when its open ones have."""
        child.leaving = True
        child.retired = time.monotonic()
        child.kill_at = child.retired + seconds + STOP_GRACE
        child.signal(RETIRE)

    def give_time(self, seconds: float) -> None:
        """Let retired workers have so long since then, which the control process tells them.

        One that does not hear of a shorter time is not killed for that: its figures would be lost.
        """
        for child in self:
            if child.retired < math.inf:
                child.kill_at = max(child.kill_at, child.retired + seconds + STOP_GRACE)

    def replace(self, name: str) -> None:
        """Start a successor for a role's child, which goes on; it can be retired then.

        Every change must reach it until it ends. Raises IndexError for no room.
        """
        for child in self:
            if child.role.name == name and not child.leaving:
                self._board.replaced.add(child.pid, beats=True)
        self.start(name)

    def succeed(self, name: str) -> None:
        """Have a role's child end, and start its successor then.

        One process at a time writes the replica.
        """
        child = self.holder_of(name)
        if child is None:
            if name not in self._successions:
                self.start(name)
            return
        child.leaving = True
        child.kill_at = time.monotonic() + STOP_GRACE
        self._successions.add(name)
        child.signal(signal.SIGTERM)

    def give_back(self, predecessor: Child, seconds: float) -> None:
        """Give a role to the child that had it before.

        The one that has it is told to end, and has `seconds` for the connections that it has taken.
        """
        name = predecessor.role.name
        successor = self.holder_of(name)
        row = self._board.row(name)
        served = row.serving
        self._due.pop(name, None)
        self._board.replaced.remove(predecessor.pid)
        if successor is not None:
            self._board.replaced.add(successor.pid, beats=served)
        row.hand_back(predecessor.pid)
        if successor is not None:
            self.retire(successor, seconds if served else 0.0)

    def forget_successions(self) -> None:
        """Start nobody any more when another has ended."""
        self._successions.clear()
        self._due.clear()

    def has_room(self, workers: Sequence[str]) -> bool:
        """Return whether so many workers can be replaced; says in the log if not."""
        busy = len(self._board.replaced.pids)
        if busy + len(workers) > MOST_REPLACED:
            _log.error(
                "refused: %d workers of earlier reloads still have open connections; "
                "wait, or lower process.reload_drain_seconds",
                busy,
            )
            return False
        return True

    # Watching

    def kill_hung(self, limit: float) -> None:
        """Kill every child that has given no sign of life for `limit` seconds; 0 kills none."""
        for child in self:
            if child.leaving and not child.role.carries_traffic:
                continue  # it has its own time to end
            if 0 < limit < self.silent_seconds(child):
                _log.error("%s hangs: no sign of life for %g s", child, limit)
                child.signal(signal.SIGKILL)

    def longest_silence(self) -> float:
        """Return the seconds since the last sign of life of the role that is silent for longest.

        One that waits for its restart is not counted.
        """
        names = self._roles.keys() - self._due.keys()
        return max((self._board.row(name).silent_seconds for name in names), default=0.0)

    def silent_seconds(self, child: Child) -> float:
        """Return the seconds since the last sign of life of a child."""
        row, replaced = self._board.row(child.role.name), self._board.replaced
        return row.silent_seconds if row.pid == child.pid else replaced.silent_seconds(child.pid)

    def kill_late(self, now: float) -> list[Child]:
        """Kill those that have not ended in their time; returns them."""
        late = [child for child in self if now >= child.kill_at]
        for child in late:
            _log.error("%s did not end in time; killed", child)
            child.signal(signal.SIGKILL)
            child.kill_at = now + STOP_GRACE
        return late
