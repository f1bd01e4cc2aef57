"""The life of a gate as its supervisor sees it: its phases, and the moves between them.

    STARTING ────> SERVING <──────────────────────────────┐
        │           │ │                                   │
        │           │ └──> UPGRADING ── not executed ─────┤
        │           │          └─ executed: another program goes on from STARTING
        └─────┬─────┘                                     │
              v                                           │
          RELOADING ── the new processes serve ──> RETIRING
              │                                           │
              └── they do not ──> ROLLING_BACK ───────────┘

A reload of a gate that has never been ready ends in STARTING again. From each of these a TERM
leads to LEAVING (still accepting, for a load balancer to turn away), then DRAINING, then ENDED.

What is asked for in a phase that has no room for it waits: a reload or an upgrade for the end of
a reload, and in the middle of an upgrade everything but TERM stays pending in the kernel, which an
exec keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from gate.supervisor.errors import SupervisorError


class GatePhase(Enum):
    """What the supervisor is about."""

    STARTING = auto()
    """The gate has not been ready yet; after an upgrade, its new processes do not serve yet."""
    SERVING = auto()
    RELOADING = auto()
    """New processes are to serve; the old workers go on beside them."""
    RETIRING = auto()
    """The new processes serve, and the old workers are told to take no more connections."""
    ROLLING_BACK = auto()
    """The new processes did not serve: the old workers go on, and the rest starts as it was."""
    UPGRADING = auto()
    """All but the workers are to end, so that another program can be executed."""
    LEAVING = auto()
    """Told to stop, and still accepting."""
    DRAINING = auto()
    ENDED = auto()


MOVES: Final[Mapping[GatePhase, frozenset[GatePhase]]] = {
    GatePhase.STARTING: frozenset({GatePhase.SERVING, GatePhase.RELOADING, GatePhase.LEAVING}),
    GatePhase.SERVING: frozenset({GatePhase.RELOADING, GatePhase.UPGRADING, GatePhase.LEAVING}),
    GatePhase.RELOADING: frozenset({GatePhase.RETIRING, GatePhase.ROLLING_BACK, GatePhase.LEAVING}),
    GatePhase.RETIRING: frozenset({GatePhase.STARTING, GatePhase.SERVING, GatePhase.LEAVING}),
    GatePhase.ROLLING_BACK: frozenset({GatePhase.STARTING, GatePhase.SERVING, GatePhase.LEAVING}),
    GatePhase.UPGRADING: frozenset({GatePhase.SERVING, GatePhase.LEAVING}),
    GatePhase.LEAVING: frozenset({GatePhase.DRAINING}),
    GatePhase.DRAINING: frozenset({GatePhase.ENDED}),
    GatePhase.ENDED: frozenset(),
}
"""The legal moves; every other one is a fault of this program."""

STOPPING: Final = frozenset({GatePhase.LEAVING, GatePhase.DRAINING, GatePhase.ENDED})
"""The phases that no child is started in."""

CHANGING: Final = frozenset(
    {
        GatePhase.STARTING,
        GatePhase.RELOADING,
        GatePhase.RETIRING,
        GatePhase.ROLLING_BACK,
        GatePhase.UPGRADING,
    }
)
"""The phases that end when a process says something, so it is looked for more often."""


class IllegalMove(SupervisorError):
    """A move between phases that is not in the table."""


class Course:
    """The phase that a gate is in."""

    def __init__(self) -> None:
        self.phase = GatePhase.STARTING

    def move(self, to: GatePhase) -> None:
        """Go on to a phase. Raises IllegalMove."""
        if to not in MOVES[self.phase]:
            raise IllegalMove(f"no way leads from {self.phase.name} to {to.name}")
        self.phase = to
