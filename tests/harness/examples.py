"""How many examples the property tests try: all, or a tenth of them under `pytest --quick`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, settings

T = TypeVar("T")

_share = 1


def configure(*, quick: bool) -> None:
    """Settle it for this run, before any test is collected."""
    global _share
    _share = 10 if quick else 1
    # How fast an example runs says more about the machine than about the code.
    settings.register_profile(
        "untimed",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=examples(100),
    )
    settings.load_profile("untimed")


def is_quick() -> bool:
    """Return whether this run tries fewer examples."""
    return _share > 1


def examples(number: int) -> int:
    """Return how many examples are tried of a test that is worth `number` of them."""
    return max(number // _share, 5)


def some(cases: Sequence[T], number: int = 5) -> Sequence[T]:
    """Return all cases of a property, or `number` of them, spread over all, in a quick run."""
    return cases[:: max(len(cases) // number, 1)] if is_quick() else cases
