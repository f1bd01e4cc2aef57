"""Is the gate alive, and does it take traffic?"""

from __future__ import annotations

from collections.abc import Callable

from gate.control.fleet import Fleet
from gate.replica import Replica
from gate.scoreboard import Board


class Health:
    """The gate's readiness, from the board, the links and the replica."""

    def __init__(self, board: Board, fleet: Fleet, replica: Replica) -> None:
        self._board = board
        self._fleet = fleet
        self._replica = replica
        self.obstacles: Callable[[], list[str]] = list
        """Why the sync says that the gate should take no traffic."""
        self.is_withdrawn: Callable[[], bool] = bool
        """Has an operator taken the gate out of rotation?"""

    def check(self) -> list[str]:
        """Why the gate takes no traffic, a sentence each; empty when it is ready.

        Notes on the board whether it is, for the supervisor and the figures.
        """
        reasons = []
        if self._board.draining:
            reasons.append("the gate is draining")
        if self.is_withdrawn():
            reasons.append("an operator has taken the gate out of rotation; `gate drain --end`")
        unsynced = self.obstacles()
        reasons += unsynced
        if self._replica.position() is None and not unsynced:
            reasons.append(
                "the replica has never been filled; import a list with `gate import FILE` "
                "or connect a registry"
            )
        away = set(self._fleet.missing)
        for number in range(self._fleet.workers):
            if number in away or not self._board.row(f"worker-{number}").serving:
                reasons.append(f"worker {number} does not serve yet")
        self._board.ready = not reasons
        return reasons
