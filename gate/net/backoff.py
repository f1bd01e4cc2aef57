"""How long to wait before the next try: longer each time, and not all gates at once."""

from __future__ import annotations

import random
from typing import Final

FIRST: Final = 0.2
LONGEST: Final = 20.0


class Backoff:
    """Waiting times in seconds: doubling from 0.2 to 20, each shortened by up to a half."""

    def __init__(self, *, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def wait(self) -> float:
        """Return the next waiting time."""
        full = self._next
        self._next = min(self._longest, full * 2)
        return full * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret

    def reset(self) -> None:
        """It worked: begin with the shortest again."""
        self._next = self._first
