"""The clock of the tests around stands in China's spring of 2026."""

from __future__ import annotations

import pytest

from tests.registry.conftest import Clock
from tests.registry.orders.steps import china


@pytest.fixture
def clock() -> Clock:
    """The time, in the test's hands: a Monday morning, far from every holiday."""
    made = Clock()
    made.now = float(china("2026-03-09 10:00"))
    return made
