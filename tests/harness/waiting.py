"""Waiting for a condition, with a deadline that a busy machine is given more of."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def patience(seconds: float) -> float:
    """Return how long to wait for what takes at most `seconds` where nobody else wants the CPU.

    Who shares a core with others gets that much less of it: processes that want to run for each
    core are what the kernel's load average counts.
    """
    return seconds * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def wait_for(condition: Callable[[], T], what: str, seconds: float = 10.0) -> T:
    """Return the first true value of `condition`; fail the test when `seconds` have passed."""
    began = time.monotonic()
    pause = 0.002
    while True:
        waited = time.monotonic() - began
        value = condition()
        if value:
            return value
        if waited > patience(seconds):
            raise AssertionError(f"waited {waited:.0f} s in vain for {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
