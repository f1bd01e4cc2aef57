"""A parser that breaks an invariant, for the tests of the fuzzer itself: not one of TARGETS."""

from __future__ import annotations

TOKENS = (b"fault",)


def check(data: bytes) -> None:
    """An invariant that some bytes break."""
    assert b"fault" not in data


def parse(data: bytes) -> None:
    """Takes no time."""
