"""Sums the figures of all workers so that a counter never goes back.

A worker's counters start at zero with each process. The tally keeps the last figures of each
process that has ended and adds them to those of the living. Gauges count only while the
process lives. What a worker counted after it was last asked is lost with it: it is asked every
second.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from gate.files import replace_file, restored
from gate.ipc.alive import is_alive

Path_ = tuple[str, ...]
"""Where a figure stands in a worker's statistics: `("decisions", "http", "filed")`."""

GONE_ADDRESSES: Final = 500
"""Addresses that no worker knows any more and whose counters are kept; of more, the oldest go."""

LATE_WORDS: Final = 8
"""Processes that ended last, whose last words may still be read from another link of theirs."""

Incarnation = tuple[int, int]
"""Process id and birth (monotonic ns) of a worker process."""


def flatten(stats: Mapping[str, Any], above: Path_ = ()) -> Iterable[tuple[Path_, float]]:
    """Yield the numbers of nested dictionaries, with their paths."""
    for key, value in stats.items():
        if isinstance(value, Mapping):
            yield from flatten(value, (*above, key))
        else:
            yield (*above, key), value


@dataclass(slots=True)
class Tally:
    """Figures of the living processes, of those that may come back, and of the dead."""

    is_counter: Callable[[Path_], bool]
    by_address: Container[str] = ()
    """The figures that have a series for each address: each reload may bring other addresses."""
    _living: dict[Incarnation, dict[Path_, float]] = field(default_factory=dict)
    _away: dict[Incarnation, dict[Path_, float]] = field(default_factory=dict)
    _ended: Counter[Path_] = field(default_factory=Counter)
    _counted: dict[Incarnation, dict[Path_, float]] = field(default_factory=dict)
    """What the last of those have in `_ended`."""

    def update(self, who: Incarnation, stats: Mapping[str, Any]) -> None:
        """Take the latest figures of a process."""
        self._away.pop(who, None)
        self._ended.subtract(self._counted.pop(who, {}))
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
            self._end(other, self._away.pop(other))

    def _end(self, who: Incarnation, figures: dict[Path_, float]) -> None:
        self._ended.update(figures)
        self._counted[who] = figures
        if len(self._counted) > LATE_WORDS:
            del self._counted[next(iter(self._counted))]
        if not self.by_address:
            return
        known = {
            path[:2] for each in (*self._away.values(), *self._living.values()) for path in each
        }
        gone: dict[str, dict[Path_, None]] = {}
        for path in self._ended:
            if path[0] in self.by_address and path[:2] not in known:
                gone.setdefault(path[0], {})[path[:2]] = None
        dropped = {at for of_one in gone.values() for at in list(of_one)[:-GONE_ADDRESSES]}
        for path in [path for path in self._ended if path[:2] in dropped]:
            del self._ended[path]
            for each in self._counted.values():
                each.pop(path, None)

    def totals(self) -> dict[Path_, float]:
        """Return every figure, summed over all processes."""
        total: Counter[Path_] = Counter(self._ended)
        for figures in (*self._away.values(), *self._living.values()):
            total.update(figures)
        return dict(total)

    def save(self, path: Path, gate: int) -> None:
        """Keep the counters for the next control process of the gate that was born at `gate`."""
        rows = [
            {"who": who, "figures": [[list(key), value] for key, value in figures.items()]}
            for who, figures in (*self._away.items(), *self._living.items())
        ]
        ended = [[list(key), value] for key, value in self._ended.items()]
        # Once a second, and of use to this run of the gate alone: not worth waiting for the disk.
        state = {"gate": gate, "processes": rows, "ended": ended}
        replace_file(path, json.dumps(state), durable=False)

    def restore(self, path: Path, gate: int) -> None:
        """Take up the counters that an earlier control process of the same gate has saved."""
        found = restored(path, partial(_saved, gate), "counters of processes that ended are lost")
        if found is None:
            return
        ended, away = found
        self._ended.update(ended)
        for who, figures in away.items():
            self._away[who] = {key: value for key, value in figures.items() if self.is_counter(key)}


def _saved(
    gate: int, saved: Any
) -> tuple[dict[Path_, float], dict[Incarnation, dict[Path_, float]]] | None:
    """Return the figures of what has ended and of each process; None if another gate saved them."""
    if saved["gate"] != gate:
        return None
    processes = {
        (int(pid), int(born)): _figures(row["figures"])
        for row in saved["processes"]
        for pid, born in (row["who"],)
    }
    return _figures(saved["ended"]), processes


def _figures(rows: Any) -> dict[Path_, float]:
    return {tuple(str(part) for part in key): _number(value) for key, value in rows}


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is no number")
    return value
