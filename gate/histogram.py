"""A histogram of durations in plain ints, cheap enough for the data plane."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS: Final = (
    0.000_005, 0.000_01, 0.000_025, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.01, 0.025, 0.1, 0.25,
    1.0, 2.5, 10.0,
)  # fmt: skip
"""Upper bounds of the buckets in seconds; one more bucket has no bound."""


class Histogram:
    """Counts durations in seconds by bucket, and sums them up."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; a negative one (no clock is perfect) counts as zero."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        if seconds > 0:
            self.total += seconds

    def figures(self) -> dict[str, dict[str, int] | float]:
        """`bucket` (upper bound as text, to the count in that bucket alone) and `sum`."""
        names = [*map(repr, BOUNDS), "+Inf"]
        return {"bucket": dict(zip(names, self.counts, strict=True)), "sum": self.total}
