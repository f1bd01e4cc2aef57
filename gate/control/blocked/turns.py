"""Long work in turns, so that nothing else in the event loop waits for it."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T")

_TURN_SECONDS: Final = 0.002
_RUN: Final = 1_000  # items that are sorted at once, which takes less than a turn


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items; after each few milliseconds of work on them, others have their turn."""
    until = time.monotonic() + _TURN_SECONDS
    for item in items:
        yield item
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + _TURN_SECONDS


async def greatest_first(items: Sequence[T], key: Callable[[T], Any], limit: int | None) -> list[T]:
    """Return the first `limit` items in falling order of their keys, found in turns."""
    runs = []
    async for start in in_turns(range(0, len(items), _RUN)):
        runs.append(sorted(items[start : start + _RUN], key=key, reverse=True))
    found: list[T] = []
    async for item in in_turns(heapq.merge(*runs, key=key, reverse=True)):
        found.append(item)
        if len(found) == limit:
            break
    return found
