"""Durations as people write them: 90s, 30m, 2h, 7d, 1h30m."""

from __future__ import annotations

from typing import Any, Final

import click

from gate.settings.base import parse_duration

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class Duration(click.ParamType[float]):
    """A click type: text to seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the seconds of a text; a usage error for what is none."""
        if isinstance(value, float):
            return value
        seconds = parse_duration(str(value))
        if not isinstance(seconds, float):
            self.fail(f"{value!r} is no duration; write 90s, 30m, 2h, 7d or 1h30m", param, ctx)
        if not seconds:
            self.fail(f"{value!r} is no time at all", param, ctx)
        return seconds


def spoken(seconds: float) -> str:
    """Return a number of seconds in words, in the largest unit that fits."""
    for unit, length in reversed(_UNITS.items()):
        if unit != "w" and seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "0 s"
