"""A reload: the settings read again, and new processes for them, or everything as it was.

New workers start beside the old ones, on the same listening sockets. When all of them serve, the
old ones are told to take no more connections; the reload is done when none of them does. If one of
the new processes dies, or they do not all serve in time, the new workers are ended instead, and
the old ones have their places again, with every connection that they have.

The control process, and an embedded registry, can't be there twice: the old one ends before the new
one starts, and after a rollback it starts as it was.

"The new workers serve" is asked of those whose predecessors did. A gate that has never been filled
can be given the settings that it lacks.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path

from gate import logs
from gate.files import PUBLIC, replace_file
from gate.ipc.scoreboard import Board
from gate.settings import ConfigError, Settings
from gate.settings.reload import merge
from gate.supervisor.child import Child
from gate.supervisor.children import STOP_GRACE, Children, Ended
from gate.supervisor.plan import Plan, Planner

_log = logging.getLogger(__name__)

Reader = Callable[[], Settings]
"""Returns the settings as they are written now. Raises ConfigError."""


class ReloadStep(Enum):
    """Where a reload stands."""

    WAITING = auto()
    """The new processes do not all serve yet."""
    SERVED = auto()
    """They do; the old workers are told to take no more connections."""
    FAILED = auto()
    """They will not; everything is put back."""
    DONE = auto()


class Reload:
    """The reloads of one gate, one at a time."""

    def __init__(
        self, plan: Plan, planner: Planner, read_again: Reader, children: Children, board: Board
    ) -> None:
        self.plan = plan
        """What runs; while a reload is under way, what it wants."""
        self._planner = planner
        self._read_again = read_again
        self._children = children
        self._board = board
        self._newest_generation = board.generation
        # Of the reload under way:
        self._before = plan
        self._generation_before = board.generation
        self._old: dict[str, Child] = {}  # by role, the workers that it replaces
        self._awaited: list[str] = []  # roles that are to serve
        self._retired: list[Child] = []
        self._kept: list[str] = []
        self._deadline = 0.0

    # Beginning

    def begin(self) -> bool:
        """Start what serves the settings as they are written now; False when they are refused."""
        try:
            wanted = self._read_again()
        except ConfigError as error:
            self._refuse(list(map(str, error.problems)))
            return False
        roles = self._children.roles
        workers = [role.name for role in roles if role.carries_traffic]
        if not self._children.has_room(workers):
            self._refuse(["too many workers of earlier reloads still have open connections"])
            return False
        settings, self._kept = merge(self.plan.settings, wanted)
        for key in self._kept:
            _log.warning("reload: %s changes on a restart only; the old value stays", key)
        self._before, self._generation_before = self.plan, self._board.generation
        self._newest_generation += 1
        self._put(self._planner.plan(settings), self._newest_generation)
        self._begin_waiting()
        for role in roles:
            if role.carries_traffic:
                self._children.replace(role.name)
            else:
                self._children.succeed(role.name)
        return True

    def _begin_waiting(self) -> None:
        board, children = self._board, self._children
        self._old = {
            role.name: holder
            for role in children.roles
            if role.carries_traffic and (holder := children.holder_of(role.name)) is not None
        }
        self._awaited = [
            role.name
            for role in children.roles
            if not role.carries_traffic or board.row(role.name).serving
        ]
        self._deadline = time.monotonic() + self.plan.settings.process.reload_seconds

    def _put(self, plan: Plan, generation: int) -> None:
        self.plan = plan
        self._board.generation = generation
        self._children.use(plan.roles)
        logs.set_up(plan.settings.log)
        self._board.log_level = logs.level()  # a level that was set by hand is over

    # Going on

    def next_time(self) -> float:
        """Return when its patience ends (monotonic)."""
        return self._deadline

    def wait(self, now: float) -> ReloadStep:
        """Return whether the new processes serve; retires the old workers if they do."""
        missing = [name for name in self._awaited if not self._serves(name)]
        if missing:
            if now < self._deadline:
                return ReloadStep.WAITING
            seconds = self.plan.settings.process.reload_seconds
            self.roll_back(
                f"{', '.join(missing)} did not serve within {seconds:g} s (process.reload_seconds)"
            )
            return ReloadStep.FAILED
        seconds = self.plan.settings.process.reload_drain_seconds
        self._children.give_time(seconds)
        self._retired = self._children.predecessors()
        for child in self._retired:
            self._children.retire(child, seconds)
        self._board.in_force = self._board.generation
        self._deadline = now + STOP_GRACE
        return ReloadStep.SERVED

    def _serves(self, name: str) -> bool:
        return self._children.holder_of(name) is not None and self._board.row(name).serving

    def finish(self, now: float) -> ReloadStep:
        """Return whether no old worker takes a connection any more; notes the reload then."""
        there = set(self._children)
        busy = [
            child
            for child in self._retired
            if child in there and self._board.replaced.may_accept(child.pid)
        ]
        if busy and now < self._deadline:
            return ReloadStep.SERVED
        for child in busy:
            _log.warning("%s was told to take no more connections and has not answered", child)
        self._retired = []
        self._note(taken=True, kept=self._kept)
        self._board.count_reload()
        _log.info("reloaded")
        return ReloadStep.DONE

    # Giving up

    def ended(self, ended: Ended) -> ReloadStep:
        """Roll back for the end of a new process; an old worker may end as it likes."""
        if not ended.unasked:
            return ReloadStep.WAITING
        self.roll_back(f"{ended} before all of them served")
        return ReloadStep.FAILED

    def roll_back(self, why: str) -> None:
        """Put everything back."""
        _log.error("reload rolled back: %s; the settings before it stay in force", why)
        self._put(self._before, self._generation_before)
        children = self._children
        there = set(children)
        for role in children.roles:
            old = self._old.get(role.name)
            if not role.carries_traffic:
                children.succeed(role.name)
            elif old is not None and old in there and not old.leaving:
                children.give_back(old, self.plan.settings.process.reload_drain_seconds)
            elif old is not None:
                children.replace(role.name)
        self._deadline = time.monotonic() + self.plan.settings.process.reload_seconds
        self._note(taken=False, problems=[f"rolled back: {why}"])
        self._board.count_rollback()

    def settle(self, now: float) -> ReloadStep:
        """Return whether what was put back serves; after a time it is left to the restarts."""
        missing = [name for name in self._awaited if not self._serves(name)]
        if missing and now < self._deadline:
            return ReloadStep.FAILED
        for name in missing:
            _log.error("%s does not serve after the rollback", name)
        return ReloadStep.DONE

    def _refuse(self, problems: list[str]) -> None:
        for problem in problems:
            _log.error("reload refused: %s", problem)
        self._note(taken=False, problems=problems)
        self._board.count_refused_reload()

    # Whoever sees a reload counted finds its result.
    def _note(self, *, taken: bool, problems: Iterable[str] = (), kept: Iterable[str] = ()) -> None:
        note_reload(
            self.plan.settings.reload_path,
            self._board.born,
            taken=taken,
            problems=problems,
            kept=kept,
        )


def note_reload(
    path: Path, born: int, *, taken: bool, problems: Iterable[str] = (), kept: Iterable[str] = ()
) -> None:
    """Keep the result for `gate reload` and the admin API, in the file `path`.

    `born` tells this run of the gate from any other. Without room on the disk the result is in
    the log alone.
    """
    result = {
        "born": born,
        "at": datetime.now(UTC).isoformat(),
        "taken": taken,
        "problems": list(problems),
        "kept": list(kept),
    }
    with contextlib.suppress(OSError):
        replace_file(path, json.dumps(result, ensure_ascii=False), mode=PUBLIC)
