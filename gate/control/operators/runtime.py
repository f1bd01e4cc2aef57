"""What operators changed while the gate runs: modes, log level, out of rotation.

It lasts as long as the gate: over a worker or the control process that is started again, and
over an upgrade. A reload puts the modes and the level of the settings in force; a gate that was
taken out of rotation stays out.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate import logs
from gate.control.metrics import catalogue as metrics
from gate.control.metrics.catalogue import Metric, Sample
from gate.files import replace_file, restored
from gate.ipc.messages import Message
from gate.ipc.scoreboard import Board
from gate.settings import Mode, Settings

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Runtime:
    """The changes, and the file that keeps them for the next control process."""

    board: Board
    path: Path
    modes: dict[str, Mode] = field(default_factory=dict)
    """By listener, where it was set."""
    level: str | None = None
    withdrawn: bool = False
    """An operator has taken the gate out of rotation."""

    def mode_of(self, listener: str, settings: Settings) -> Mode:
        """Return the mode that is in force. Raises KeyError for an unknown listener."""
        configured = {item.name: item.mode for item in settings.listeners}
        return self.modes.get(listener, configured[listener])

    def samples(self, settings: Settings) -> list[tuple[Metric, list[Sample]]]:
        """Return for each listener whether it only monitors, for /metrics."""
        values: list[Sample] = [
            ((item.name,), float(self.mode_of(item.name, settings) is Mode.MONITOR))
            for item in settings.listeners
        ]
        return [(metrics.MONITORING, values)]

    def greeting(self) -> Message:
        """Return what a worker that has just started needs to know, as fields of `welcome`."""
        return {"modes": self.modes, "level": self.level}

    def save(self) -> None:
        """Keep the changes. Raises OSError."""
        state = {
            "born": self.board.born,
            "generation": self.board.generation,
            "modes": self.modes,
            "level": self.level,
            "withdrawn": self.withdrawn,
        }
        replace_file(self.path, json.dumps(state))

    def set_level(self, level: str) -> None:
        """Put a log level in force here, and on the board for the processes without a link."""
        logs.set_level(level)
        self.board.log_level = logs.level()

    def restore(self, configured: str) -> None:
        """Take up what an earlier control process of this run of the gate has kept.

        The log level is the one that was set by hand, or else the one of the settings.
        """
        self._read()
        self.set_level(self.level or configured)

    def _read(self) -> None:
        found = restored(self.path, _saved, "the settings are in force as they are")
        if found is None or found.born != self.board.born:
            return
        self.withdrawn = found.withdrawn
        if found.generation == self.board.generation:
            self.modes, self.level = found.modes, found.level
        elif found.modes or found.level:
            _log.warning("reload: the mode and log level that were set by hand are over")


@dataclass(slots=True, frozen=True)
class _Kept:
    born: int
    generation: int
    modes: dict[str, Mode]
    level: str | None
    withdrawn: bool


def _saved(state: Any) -> _Kept:
    """Return what `save` has written. Raises one of MALFORMED."""
    level = state["level"]
    if level is not None and level.upper() not in logging.getLevelNamesMapping():
        raise ValueError(f"{level!r} is no log level")
    return _Kept(
        born=state["born"],
        # A program of 0.1.0 has counted the reloads alone.
        generation=state["generation"] if "generation" in state else state["reloads"],
        modes={name: Mode(mode) for name, mode in state["modes"].items()},
        level=level,
        withdrawn=bool(state["withdrawn"]),
    )
