"""What the processes of one gate tell each other without messages: a page of shared numbers.

The supervisor makes the board before it forks. Each child writes its own row (a sign of life,
whether it serves), the supervisor writes restarts, the control process whether the gate is
ready. Each number is one aligned 64-bit word, so no lock is needed, and a process killed at any
moment leaves nothing half-written. Each has one writer, but for the log level: the supervisor
writes it in a reload, and the control process that starts then has the last word.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum


class _Head(IntEnum):
    READY = 0
    DRAINING = 1
    RELOADS = 2
    RELOADS_REFUSED = 3
    LOG_LEVEL = 4
    RELOADS_ROLLED_BACK = 5
    GENERATION = 6
    IN_FORCE = 7


class _Row(IntEnum):
    PID = 0
    RESTARTS = 1
    BEAT = 2
    SERVING = 3


class _Replaced(IntEnum):
    PID = 0
    BEAT = 1
    CLOSED = 2  # a page that a program of 0.1.0 has made has no such word


MOST_REPLACED = 256
"""How many replaced workers may still be busy at a time."""

BEAT_SECONDS = 1.0
"""How often a process gives a sign of life."""


class ReplacedWorkers:
    """Workers that a reload or an upgrade has replaced and that still have open connections.

    A page of its own, a process id and a sign of life for each, which an upgrade hands over: a
    worker writes into the page that it was forked with, whatever program its parent is by now.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """The page of a descriptor that the program before this one has left, or a new one."""
        if descriptor is None:
            descriptor = os.memfd_create("gate-replaced")
            os.ftruncate(descriptor, MOST_REPLACED * len(_Replaced) * 8)
        self.descriptor = descriptor
        self._words = memoryview(mmap.mmap(descriptor, os.fstat(descriptor).st_size)).cast("q")
        self._width = len(self._words) // MOST_REPLACED

    @property
    def pids(self) -> set[int]:
        """Their process ids."""
        return {pid for pid in self._words[:: self._width] if pid}

    def add(self, pid: int, *, beats: bool) -> None:
        """Note that a successor of `pid` is about to start (supervisor).

        Another reload may come before `pid` has ended: it is noted once all the same, or it
        would not be forgotten, and changes would wait for its answer for ever. `beats` is False for
        one that does not know this page. Raises IndexError for no room.
        """
        if self._find(pid) is None:
            index = self._find(0)
            if index is None:
                raise IndexError("no room for another replaced worker")
            if self._width > _Replaced.CLOSED:
                self._words[index + _Replaced.CLOSED] = 0
            self._words[index + _Replaced.BEAT] = time.monotonic_ns() if beats else 0
            self._words[index] = pid

    def remove(self, pid: int) -> None:
        """Note that the process `pid` has ended, or has its old place again (supervisor)."""
        index = self._find(pid)
        if index is not None:
            self._words[index] = 0

    def beat(self, pid: int) -> None:
        """Note a sign of life of `pid`, if it is one of them (child)."""
        index = self._find(pid)
        if index is not None and self._words[index + _Replaced.BEAT]:
            self._words[index + _Replaced.BEAT] = time.monotonic_ns()

    def close(self, pid: int) -> None:
        """Note that `pid` takes no connection any more, if it is one of them (child)."""
        index = self._find(pid)
        if index is not None and self._width > _Replaced.CLOSED:
            self._words[index + _Replaced.CLOSED] = 1

    def may_accept(self, pid: int) -> bool:
        """Return whether `pid` is one of them and may still take connections.

        On a page of an older program nobody can say so; then it is taken to have stopped.
        """
        index = self._find(pid)
        if index is None or self._width <= _Replaced.CLOSED:
            return False
        return not self._words[index + _Replaced.CLOSED]

    def silent_seconds(self, pid: int) -> float:
        """Return the seconds since the last sign of life of `pid`; 0 for one that gives none."""
        index = self._find(pid)
        beat = 0 if index is None else self._words[index + _Replaced.BEAT]
        return (time.monotonic_ns() - beat) / 1e9 if beat else 0.0

    def _find(self, pid: int) -> int | None:
        steps = range(0, len(self._words), self._width)
        return next((at for at in steps if self._words[at] == pid), None)


class ProcessRow:
    """One child's numbers."""

    __slots__ = ("_base", "_replaced", "_words", "name")

    def __init__(self, name: str, words: memoryview, base: int, replaced: ReplacedWorkers) -> None:
        self.name = name
        self._words = words
        self._base = base
        self._replaced = replaced

    def _get(self, field: _Row) -> int:
        return int(self._words[self._base + field])

    def _set(self, field: _Row, value: int) -> None:
        self._words[self._base + field] = value

    @property
    def pid(self) -> int:
        """Process id of the newest child in this row; 0 before the first."""
        return self._get(_Row.PID)

    @property
    def restarts(self) -> int:
        """How often the child was started again after it died."""
        return self._get(_Row.RESTARTS)

    @property
    def serving(self) -> bool:
        """Has the newest child said that it does its work?"""
        return bool(self._get(_Row.SERVING))

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last sign of life."""
        return (time.monotonic_ns() - self._get(_Row.BEAT)) / 1e9

    def count_from(self, restarts: int) -> None:
        """Go on from what the program before this one has counted (supervisor)."""
        self._set(_Row.RESTARTS, restarts)

    def begin(self, pid: int, *, restarted: bool) -> None:
        """Note that a child has been started (supervisor)."""
        self._set(_Row.SERVING, 0)
        self._set(_Row.BEAT, time.monotonic_ns())
        self._set(_Row.PID, pid)
        if restarted:
            self._set(_Row.RESTARTS, self.restarts + 1)

    def hand_back(self, pid: int) -> None:
        """Give the row to the child that it had before: its successor does not do (supervisor)."""
        self._set(_Row.BEAT, time.monotonic_ns())
        self._set(_Row.SERVING, 1)
        self._set(_Row.PID, pid)

    def stop_accepting(self) -> None:
        """Note that this child, which was replaced, takes no connection any more (child)."""
        self._replaced.close(os.getpid())

    async def beat_on(self, *, serving: Callable[[], bool]) -> None:
        """Give a sign of life every second until cancelled (child)."""
        while True:
            self.beat(serving=serving())
            await asyncio.sleep(BEAT_SECONDS)

    def beat(self, *, serving: bool) -> None:
        """Give a sign of life (child). One that was replaced no longer owns the row."""
        pid = os.getpid()
        self._replaced.beat(pid)
        if self.pid == pid:
            self._set(_Row.BEAT, time.monotonic_ns())
            self._set(_Row.SERVING, int(serving))


class Board:
    """The page; rows in the order of `names`."""

    def __init__(
        self, names: Sequence[str], *, born: int = 0, replaced: ReplacedWorkers | None = None
    ) -> None:
        self.replaced = ReplacedWorkers() if replaced is None else replaced
        rows = len(_Head)
        count = rows + len(names) * len(_Row)
        # MAP_SHARED and anonymous: inherited by fork, gone with the last process.
        self._words = memoryview(mmap.mmap(-1, count * 8)).cast("q")
        self._rows = {
            name: ProcessRow(name, self._words, rows + index * len(_Row), self.replaced)
            for index, name in enumerate(names)
        }
        self.born = born or time.time_ns()
        """Tells this run of the gate from any other; an upgrade does not end the run."""

    def __iter__(self) -> Iterator[ProcessRow]:
        return iter(self._rows.values())

    def row(self, name: str) -> ProcessRow:
        """Return the row of the child `name`; KeyError if there is none."""
        return self._rows[name]

    @property
    def ready(self) -> bool:
        """Does the whole gate take traffic? Written by the control process."""
        return bool(self._words[_Head.READY])

    @ready.setter
    def ready(self, value: bool) -> None:
        self._words[_Head.READY] = int(value)

    @property
    def draining(self) -> bool:
        """Is the gate on its way down? Written by the supervisor."""
        return bool(self._words[_Head.DRAINING])

    @draining.setter
    def draining(self, value: bool) -> None:
        self._words[_Head.DRAINING] = int(value)

    @property
    def log_level(self) -> int:
        """The level in force, as `logging` counts; 0 before the first control process says it."""
        return int(self._words[_Head.LOG_LEVEL])

    @log_level.setter
    def log_level(self, value: int) -> None:
        self._words[_Head.LOG_LEVEL] = value

    @property
    def generation(self) -> int:
        """Which settings the newest processes were started with; a rollback goes back by one."""
        return int(self._words[_Head.GENERATION])

    @generation.setter
    def generation(self, value: int) -> None:
        self._words[_Head.GENERATION] = value

    @property
    def in_force(self) -> int:
        """The generation of the newest settings that are there to stay: all workers serve them."""
        return int(self._words[_Head.IN_FORCE])

    @in_force.setter
    def in_force(self, value: int) -> None:
        self._words[_Head.IN_FORCE] = value

    @property
    def reloads(self) -> int:
        """Reloads that took effect."""
        return int(self._words[_Head.RELOADS])

    @property
    def reloads_refused(self) -> int:
        """Reloads refused for an error in the settings."""
        return int(self._words[_Head.RELOADS_REFUSED])

    @property
    def reloads_rolled_back(self) -> int:
        """Reloads that were given up because the new processes did not serve."""
        return int(self._words[_Head.RELOADS_ROLLED_BACK])

    def count_reload(self) -> None:
        """Count one that took effect (supervisor)."""
        self._words[_Head.RELOADS] = self.reloads + 1

    def count_refused_reload(self) -> None:
        """Count one that was refused (supervisor)."""
        self._words[_Head.RELOADS_REFUSED] = self.reloads_refused + 1

    def count_rollback(self) -> None:
        """Count one that was rolled back (supervisor)."""
        self._words[_Head.RELOADS_ROLLED_BACK] = self.reloads_rolled_back + 1

    def count_from(self, *, done: int, refused: int, rolled_back: int, generation: int) -> None:
        """Go on from what the program before this one has counted (supervisor)."""
        self._words[_Head.RELOADS] = done
        self._words[_Head.RELOADS_REFUSED] = refused
        self._words[_Head.RELOADS_ROLLED_BACK] = rolled_back
        self._words[_Head.GENERATION] = self._words[_Head.IN_FORCE] = generation
