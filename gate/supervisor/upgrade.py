"""An upgrade: all but the workers end, and another program is executed in place of this one."""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
from collections.abc import Sequence

from gate.ipc.scoreboard import Board
from gate.supervisor.children import STOP_GRACE, Children
from gate.supervisor.handover import BoardCounts, Handover, SurvivingWorker, descriptors_of
from gate.supervisor.plan import Planner
from gate.supervisor.program import Program
from gate.supervisor.reload import Reload

_log = logging.getLogger(__name__)


class Upgrade:
    """The upgrades of one gate; `lock` is the descriptor of the locked `gate.pid`."""

    def __init__(
        self,
        program: Program | None,
        lock: int,
        planner: Planner,
        reload: Reload,
        children: Children,
        board: Board,
    ) -> None:
        """`program` is what is executed; None for a gate that can't be upgraded."""
        self._program = program
        self._lock = lock
        self._planner = planner
        self._reload = reload
        self._children = children
        self._board = board
        self._kill_at = math.inf
        self._older = False

    def may_begin(self) -> bool:
        """Try whether the program at hand could take over; says in the log why not."""
        workers = [role.name for role in self._children.roles if role.carries_traffic]
        if not self._children.has_room(workers):
            return False
        if self._program is None:
            _log.error("upgrade refused: only a gate that `gate serve` has started can be upgraded")
            return False
        self._older = False
        problem = self._program.rehearse(self._handover([]))
        if problem and self._planner.ports.flows is None:
            # It may be the way back to a program of 0.1.0, which knows no QUIC.
            self._older = True
            if not self._program.rehearse(self._handover([])):
                problem = ""
        if problem:
            _log.error("upgrade refused: %s", problem)
        return not problem

    def begin(self) -> None:
        """End all but the workers."""
        self._kill_at = time.monotonic() + STOP_GRACE
        self._children.forget_successions()
        self._children.end(lambda child: not child.role.carries_traffic)

    def next_time(self) -> float:
        """Return when those that are still there are killed (monotonic)."""
        return self._kill_at

    def go_on(self, now: float) -> bool:
        """Execute the other program once workers alone are left.

        True when that has failed: then everything has been started again.
        """
        others = [child for child in self._children if not child.role.carries_traffic]
        if others:
            if now >= self._kill_at:
                self._kill_at = now + STOP_GRACE
                for child in others:
                    child.signal(signal.SIGKILL)
            return False
        self._execute()
        for role in self._children.roles:
            if not role.carries_traffic:
                self._children.start(role.name)
        return True

    def _execute(self) -> None:
        if self._program is None:
            return
        _log.info("upgrading: %s takes over", self._program)
        sys.stdout.flush()
        sys.stderr.flush()
        survivors = [
            SurvivingWorker(child.pid, child.role.name, child.leaving) for child in self._children
        ]
        problem = self._program.replace_this_one(self._handover(survivors))
        _log.error("upgrade failed, the program stays: %s", problem)

    def _handover(self, survivors: Sequence[SurvivingWorker]) -> Handover:
        board = self._board
        counts = BoardCounts(
            board.born,
            {row.name: row.restarts for row in board},
            board.reloads,
            board.reloads_refused,
            board.reloads_rolled_back,
            board.generation,
        )
        return Handover(
            # An older program takes no setting that it does not know: defaults are left out.
            self._reload.plan.settings.model_dump(mode="json", exclude_defaults=self._older),
            self._planner.workers,
            self._lock,
            descriptors_of(self._planner.ports, self._planner.embedded.listener),
            survivors,
            counts,
            board.replaced.descriptor,
            self._older,
        )
