"""JSON as text in pieces that each take well below a millisecond to make, for `in_turns`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T")

_RUN: Final = 100


def list_pieces(items: Sequence[T], fields: Callable[[T], Any]) -> Iterator[str]:
    """Yield the list of the `fields` of each item."""
    yield "["
    for start in range(0, len(items), _RUN):
        run = json.dumps([fields(item) for item in items[start : start + _RUN]])
        yield f"{', ' if start else ''}{run[1:-1]}"
    yield "]"
