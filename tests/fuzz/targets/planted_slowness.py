"""A parser of quadratic cost, for the tests of the fuzzer itself: not one of TARGETS."""

from __future__ import annotations

TOKENS = (b"slow",)

MOST_STEPS = 100_000_000
"""Some seconds of CPU time, so that nothing takes it for a hang."""


def check(data: bytes) -> None:
    """No invariant to break."""


def parse(data: bytes) -> None:
    """Does work for each two spaces, which small inputs do not show.

    The work is the interpreter's, as is that by which tests/fuzz/one.py knows how fast it is: so
    what is too slow on one machine is so on every other.
    """
    for _ in range(min(data.count(b" ") ** 2 // 2, MOST_STEPS)):
        pass
