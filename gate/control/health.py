"""Is the gate alive, and does it take traffic?"""

from __future__ import annotations

from gate.control.following import Following
from gate.control.operators.runtime import Runtime
from gate.control.workers import Workers
from gate.ipc.scoreboard import Board
from gate.replica import Replica


class Health:
    """The gate's readiness, from the board, the links and the replica."""

    def __init__(
        self,
        board: Board,
        workers: Workers,
        replica: Replica,
        runtime: Runtime,
        following: Following,
        *,
        allow_empty: bool,
    ) -> None:
        """`allow_empty` says that a gate without any filing is meant."""
        self._board = board
        self._workers = workers
        self._replica = replica
        self._runtime = runtime
        self._following = following
        self._allow_empty = allow_empty

    def warnings(self) -> list[str]:
        """Return what an operator should look at though the gate takes traffic, a sentence each."""
        found = list(self._following.doubts())
        if self._is_empty():
            found.append("the replica holds no filing: every name is blocked")
        return found

    def _is_empty(self) -> bool:
        return self._replica.position() is not None and not self._replica.count()

    def check(self) -> list[str]:
        """Return why the gate takes no traffic, a sentence each; empty when it is ready.

        Notes on the board whether it is, for the supervisor and the figures.
        """
        reasons = []
        if self._board.draining:
            reasons.append("the gate is draining")
        if self._runtime.withdrawn:
            reasons.append("an operator has taken the gate out of rotation; `gate drain --end`")
        unsynced = self._following.obstacles()
        reasons += unsynced
        if self._replica.position() is None and not unsynced:
            reasons.append(
                "the replica has never been filled; import a list with `gate import FILE` "
                "or connect a registry"
            )
        if self._is_empty() and not self._allow_empty and not self._replica.has_ever_held():
            reasons.append(
                "the registry has no filing yet, so that every name would be blocked; file or "
                "import there first, or set sync.allow_empty if that is meant"
            )
        away = set(self._workers.missing)
        for number in range(self._workers.count):
            if number in away or not self._board.row(f"worker-{number}").serving:
                reasons.append(f"worker {number} does not serve yet")
        self._board.ready = not reasons
        return reasons
