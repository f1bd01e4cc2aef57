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
from gate.control.lines import Message
from gate.scoreboard import Board
from gate.settings import Mode, Settings

log = logging.getLogger("gate.control")


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
        """The mode that is in force. Raises KeyError for an unknown listener."""
        configured = {item.name: item.mode for item in settings.listeners}
        return self.modes.get(listener, configured[listener])

    def greeting(self) -> Message:
        """What a worker that has just started needs to know, as fields of `welcome`."""
        return {"modes": self.modes, "level": self.level}

    def save(self) -> None:
        """Keep the changes. Raises OSError."""
        beside = self.path.with_suffix(".new")
        beside.write_text(
            json.dumps(
                {
                    "born": self.board.born,
                    "reloads": self.board.reloads,
                    "modes": self.modes,
                    "level": self.level,
                    "withdrawn": self.withdrawn,
                }
            )
        )
        beside.replace(self.path)

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
        try:
            saved: dict[str, Any] = json.loads(self.path.read_text())
            if saved["born"] != self.board.born:
                return
            self.withdrawn = bool(saved["withdrawn"])
            modes = {name: Mode(mode) for name, mode in saved["modes"].items()}
            level = saved["level"]
            if level is not None and level.upper() not in logging.getLevelNamesMapping():
                raise ValueError(f"{level!r} is no log level")
            if saved["reloads"] == self.board.reloads:
                self.modes, self.level = modes, level
            elif modes or level:
                log.warning("reload: the mode and log level that were set by hand are over")
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: %s; the settings are in force as they are", self.path, error)
