"""Sums the figures of all workers so that a counter never goes back.

A worker's counters start at zero with each process. The tally keeps the last figures of each
process that has ended and adds them to those of the living. Gauges count only while the
process lives. What a worker counted after it was last asked is lost with it: it is asked every
second.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Path_ = tuple[str, ...]
"""Where a figure stands in a worker's statistics: `("decisions", "http", "filed")`."""

Incarnation = tuple[int, int]
"""Process id and birth (monotonic ns) of a worker process."""


def flatten(stats: Mapping[str, Any], above: Path_ = ()) -> Iterable[tuple[Path_, float]]:
    """The numbers of nested dictionaries, with their paths."""
    for key, value in stats.items():
        if isinstance(value, Mapping):
            yield from flatten(value, (*above, key))
        else:
            yield (*above, key), value


@dataclass(slots=True)
class Tally:
    """Figures of the living processes, of those that may come back, and of the dead."""

    is_counter: Callable[[Path_], bool]
    _living: dict[Incarnation, dict[Path_, float]] = field(default_factory=dict)
    _away: dict[Incarnation, dict[Path_, float]] = field(default_factory=dict)
    _ended: Counter[Path_] = field(default_factory=Counter)

    def update(self, who: Incarnation, stats: Mapping[str, Any]) -> None:
        """Takes the latest figures of a process."""
        self._away.pop(who, None)
        self._living[who] = dict(flatten(stats))

    def leave(self, who: Incarnation) -> None:
        """A process has lost its link: its counters stay, its gauges do not."""
        figures = self._living.pop(who, None)
        if figures is None:
            return
        counters = {path: value for path, value in figures.items() if self.is_counter(path)}
        self._away[who] = counters
        # It may only have lost its link; once the process is gone it cannot come back.
        for other in [other for other in self._away if not is_alive(other[0])]:
            self._ended.update(self._away.pop(other))

    def totals(self) -> dict[Path_, float]:
        """Every figure, summed over all processes."""
        total: Counter[Path_] = Counter(self._ended)
        for figures in (*self._away.values(), *self._living.values()):
            total.update(figures)
        return dict(total)

    def save(self, path: Path, gate: int) -> None:
        """Keeps the counters for the next control process of the gate that was born at `gate`."""
        rows = [
            {"who": who, "figures": [[list(key), value] for key, value in figures.items()]}
            for who, figures in (*self._away.items(), *self._living.items())
        ]
        ended = [[list(key), value] for key, value in self._ended.items()]
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps({"gate": gate, "processes": rows, "ended": ended}))
        beside.replace(path)

    def restore(self, path: Path, gate: int) -> None:
        """Takes up the counters that an earlier control process of the same gate has saved."""
        try:
            saved = json.loads(path.read_text())
        except (OSError, ValueError):
            return
        if saved.get("gate") != gate:
            return
        self._ended.update({tuple(key): value for key, value in saved["ended"]})
        for row in saved["processes"]:
            pid, born = row["who"]
            figures = {tuple(key): value for key, value in row["figures"]}
            self._away[pid, born] = {
                key: value for key, value in figures.items() if self.is_counter(key)
            }


def is_alive(pid: int) -> bool:
    """Is there a process of this id?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
