"""A parser of quadratic cost, for the tests of the fuzzer itself: not one of TARGETS."""

from __future__ import annotations

TOKENS = (b"slow",)


def check(data: bytes) -> None:
    """No invariant to break."""


def parse(data: bytes) -> None:
    """Searches all of the data for each space in it, which small inputs do not show."""
    for _ in range(data.count(b" ")):
        data.count(b"  ")
