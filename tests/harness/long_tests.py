"""Tests that take long begin first, so that none is left to run alone at the end.

xdist's `worksteal` gives each process one part of the tests, in their order. So each part begins
with some of those that are marked with `long`: they take many seconds however fast the machine is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

MARK = "long"

T = TypeVar("T")


def begin_with_them(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests of a run, the same in every process of it."""
    processes = int(getattr(config, "workerinput", {}).get("workercount", 1))
    long = [item.get_closest_marker(MARK) is not None for item in items]
    items[:] = dealt(items, long, processes)


def dealt(items: Sequence[T], long: Sequence[bool], parts: int) -> list[T]:
    """Return the items so that each of so many parts begins with its share of the long ones."""
    pairs = list(zip(items, long, strict=True))
    first = [item for item, is_long in pairs if is_long]
    others = [item for item, is_long in pairs if not is_long]
    found: list[T] = []
    for left in range(parts, 0, -1):
        size = (len(items) - len(found)) // left  # as xdist divides them
        begin = min(-(-len(first) // left), size)
        found += first[:begin] + others[: size - begin]
        del first[:begin], others[: size - begin]
    return found
