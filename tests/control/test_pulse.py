"""The rates of the last minute, second by second."""

from __future__ import annotations

import pytest

from gate.control.metrics.pulse import SECONDS, Pulse, summed
from gate.control.metrics.tally import Path_

TOTALS: dict[Path_, float] = {
    ("decisions", "http", "filed", "pass"): 5,
    ("decisions", "tls", "filed", "pass"): 2,
    ("decisions", "http", "unfiled", "block"): 3,
    ("decisions", "http", "unfiled", "monitor"): 1,
    ("requests",): 9,
    ("bytes", "up"): 100,
    ("bytes", "up", "tls"): 10,
    ("bytes", "down"): 1000,
}


@pytest.mark.parametrize(
    ("source", "total"),
    [
        (("decisions", "*", "*", "pass"), 7),
        (("decisions", "http"), 9),
        (("decisions", "*", "unfiled"), 4),
        (("bytes", "up"), 110),
        (("requests",), 9),
        (("requests", "http"), 0),
        (("unknown",), 0),
    ],
)
def test_figures_at_or_below_a_path_are_summed(source: tuple[str, ...], total: float) -> None:
    assert summed(TOTALS, source) == total


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def beat(pulse: Pulse, clock: Clock, seconds: float, requests: float) -> None:
    clock.now += seconds
    pulse.beat({("requests",): requests})


@pytest.mark.parametrize(
    ("beats", "rates"),
    [
        ([], []),
        ([(0, 5)], []),
        ([(0, 5), (1, 15)], [10.0]),
        ([(0, 0), (2, 30), (0.5, 31)], [15.0, 2.0]),
        ([(0, 0), (3, 1)], [0.3]),
        ([(0, 50), (1, 20), (1, 24)], [0.0, 4.0]),  # a counter that goes back is no rate
        ([(0, 0), (0, 1)], [1000.0]),  # two beats at a time divide by no zero
    ],
)
def test_a_rate_is_what_came_between_two_beats_by_their_time(
    beats: list[tuple[float, float]], rates: list[float]
) -> None:
    clock = Clock()
    pulse = Pulse(clock)
    for seconds, requests in beats:
        beat(pulse, clock, seconds, requests)
    assert pulse.series()["requests"] == rates


def test_every_rate_has_its_source() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.beat({})
    clock.now += 1
    pulse.beat(TOTALS | {("connections_accepted",): 4})
    assert pulse.series() == {
        "pass": [7.0],
        "block": [3.0],
        "monitor": [1.0],
        "connections": [4.0],
        "requests": [9.0],
        "bytes_up": [110.0],
        "bytes_down": [1000.0],
    }


def test_the_last_minute_is_kept_oldest_first() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    total = 0
    for second in range(SECONDS + 10):
        total += second
        beat(pulse, clock, 1, total)
    assert pulse.series()["requests"] == [float(second) for second in range(10, SECONDS + 10)]
