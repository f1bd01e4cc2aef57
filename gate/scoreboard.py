"""What the processes of one gate tell each other without messages: a page of shared numbers.

The supervisor makes the board before it forks. Each child writes its own row (a sign of life,
whether it serves), the supervisor writes restarts, the control process whether the gate is
ready. Each number is one aligned 64-bit word, so no lock is needed, and a process killed at any
moment leaves nothing half-written. Each has one writer, but for the log level: the supervisor
writes it in a reload, and the control process that starts then has the last word.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator, Sequence
from enum import IntEnum


class _Head(IntEnum):
    READY = 0
    DRAINING = 1
    RELOADS = 2
    RELOADS_REFUSED = 3
    LOG_LEVEL = 4


class _Row(IntEnum):
    PID = 0
    RESTARTS = 1
    BEAT = 2
    SERVING = 3


ELDERS = 256
"""How many replaced workers may still be busy at a time."""


class Elders:
    """Workers that a reload or an upgrade has replaced and that still have open connections.

    A page of its own, a process id and a sign of life for each, which an upgrade hands over: a
    worker writes into the page that it was forked with, whatever program its parent is by now.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """The page of a descriptor that the program before this one has left, or a new one."""
        if descriptor is None:
            descriptor = os.memfd_create("gate-elders")
            os.ftruncate(descriptor, ELDERS * 2 * 8)
        self.descriptor = descriptor
        self._words = memoryview(mmap.mmap(descriptor, os.fstat(descriptor).st_size)).cast("q")

    @property
    def pids(self) -> set[int]:
        """Their process ids."""
        return {pid for pid in self._words[::2] if pid}

    def add(self, pid: int, *, beats: bool) -> None:
        """A successor of `pid` is about to start (supervisor). Raises IndexError for no room.

        Another reload may come before `pid` has ended: it is noted once all the same, or it
        would not be forgotten, and changes would wait for its answer for ever. `beats` is False for
        one that does not know this page.
        """
        if self._find(pid) is None:
            index = self._find(0)
            if index is None:
                raise IndexError("no room for another replaced worker")
            self._words[index + 1] = time.monotonic_ns() if beats else 0
            self._words[index] = pid

    def remove(self, pid: int) -> None:
        """The process `pid` has ended (supervisor)."""
        index = self._find(pid)
        if index is not None:
            self._words[index] = 0

    def beat(self, pid: int) -> None:
        """A sign of life of `pid`, if it is one of them (child)."""
        index = self._find(pid)
        if index is not None and self._words[index + 1]:
            self._words[index + 1] = time.monotonic_ns()

    def silent_seconds(self, pid: int) -> float:
        """Seconds since the last sign of life of `pid`; 0 for one that gives none."""
        index = self._find(pid)
        beat = 0 if index is None else self._words[index + 1]
        return (time.monotonic_ns() - beat) / 1e9 if beat else 0.0

    def _find(self, pid: int) -> int | None:
        return next((at for at in range(0, len(self._words), 2) if self._words[at] == pid), None)


class Row:
    """One child's numbers."""

    __slots__ = ("_base", "_elders", "_words", "name")

    def __init__(self, name: str, words: memoryview, base: int, elders: Elders) -> None:
        self.name = name
        self._words = words
        self._base = base
        self._elders = elders

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
        """Goes on from what the program before this one has counted (supervisor)."""
        self._set(_Row.RESTARTS, restarts)

    def begin(self, pid: int, *, restarted: bool) -> None:
        """A child has been started (supervisor)."""
        self._set(_Row.SERVING, 0)
        self._set(_Row.BEAT, time.monotonic_ns())
        self._set(_Row.PID, pid)
        if restarted:
            self._set(_Row.RESTARTS, self.restarts + 1)

    def beat(self, *, serving: bool) -> None:
        """A sign of life (child). A replaced child no longer owns the row, and is an elder."""
        pid = os.getpid()
        self._elders.beat(pid)
        if self.pid == pid:
            self._set(_Row.BEAT, time.monotonic_ns())
            self._set(_Row.SERVING, int(serving))


class Board:
    """The page; rows in the order of `names`."""

    def __init__(
        self, names: Sequence[str], *, born: int = 0, elders: Elders | None = None
    ) -> None:
        self.elders = Elders() if elders is None else elders
        rows = len(_Head)
        count = rows + len(names) * len(_Row)
        # MAP_SHARED and anonymous: inherited by fork, gone with the last process.
        self._words = memoryview(mmap.mmap(-1, count * 8)).cast("q")
        self._rows = {
            name: Row(name, self._words, rows + index * len(_Row), self.elders)
            for index, name in enumerate(names)
        }
        self.born = born or time.time_ns()
        """Tells this run of the gate from any other; an upgrade does not end the run."""

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def row(self, name: str) -> Row:
        """The row of the child `name`; KeyError if there is none."""
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
    def reloads(self) -> int:
        """Reloads that took effect."""
        return int(self._words[_Head.RELOADS])

    @property
    def reloads_refused(self) -> int:
        """Reloads refused for an error in the settings."""
        return int(self._words[_Head.RELOADS_REFUSED])

    def count_reload(self, *, refused: bool) -> None:
        """Counts one reload (supervisor)."""
        field = _Head.RELOADS_REFUSED if refused else _Head.RELOADS
        self._words[field] = int(self._words[field]) + 1

    def count_from(self, *, done: int, refused: int) -> None:
        """Goes on from the reloads that the program before this one has counted (supervisor)."""
        self._words[_Head.RELOADS] = done
        self._words[_Head.RELOADS_REFUSED] = refused
