"""The last minute of the gate, second by second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from gate.control.metrics.tally import Path_

SECONDS: Final = 60

_SOURCES: Final[dict[str, tuple[str, ...]]] = {
    "pass": ("decisions", "*", "*", "pass"),
    "block": ("decisions", "*", "*", "block"),
    "monitor": ("decisions", "*", "*", "monitor"),
    "connections": ("connections_accepted",),
    "requests": ("requests",),
    "bytes_up": ("bytes", "up"),
    "bytes_down": ("bytes", "down"),
}
"""Each rate, by where the workers' figures have what it counts."""


def summed(totals: Mapping[Path_, float], source: tuple[str, ...]) -> float:
    """Return the sum of all figures at or below a path, where `*` is any one part."""
    return sum(
        value
        for path, value in totals.items()
        if len(path) >= len(source)
        and all(want in ("*", part) for want, part in zip(source, path, strict=False))
    )


@dataclass(slots=True)
class Pulse:
    """Counters as they were at each of the last seconds."""

    clock: Callable[[], float] = time.monotonic
    _beats: deque[tuple[float, dict[str, float]]] = field(
        default_factory=lambda: deque(maxlen=SECONDS + 1)
    )

    def beat(self, totals: Mapping[Path_, float]) -> None:
        """Take the counters as they are now; to be called once a second."""
        counted = {name: summed(totals, source) for name, source in _SOURCES.items()}
        self._beats.append((self.clock(), counted))

    def series(self) -> dict[str, list[float]]:
        """Return each rate in units a second, oldest first."""
        beats = self._beats
        return {
            name: [
                round(max(after[name] - before[name], 0.0) / max(then - when, 1e-3), 1)
                for (when, before), (then, after) in pairwise(beats)
            ]
            for name in _SOURCES
        }
