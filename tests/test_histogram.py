"""A histogram in plain ints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.histogram import BOUNDS, Histogram


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.000_005, 0), (0.000_006, 1), (1.0, BOUNDS.index(1.0)), (11.0, len(BOUNDS))],
)
def test_a_duration_counts_in_the_first_bucket_that_bounds_it(seconds: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.observe(seconds)
    assert histogram.counts.index(1) == bucket
    assert sum(histogram.counts) == 1
    assert histogram.total == seconds


def test_a_clock_that_went_back_counts_as_no_time() -> None:
    histogram = Histogram()
    histogram.observe(-5.0)
    assert histogram.counts[0] == 1
    assert histogram.total == 0.0


@given(st.lists(st.floats(0, 100)))
def test_nothing_is_lost(durations: list[float]) -> None:
    histogram = Histogram()
    for seconds in durations:
        histogram.observe(seconds)
    buckets = histogram.figures()["bucket"]
    assert isinstance(buckets, dict)
    assert sum(buckets.values()) == len(durations)
    for bound in BOUNDS:
        below = sum(count for name, count in buckets.items() if float(name) <= bound)
        assert below == sum(seconds <= bound for seconds in durations)
