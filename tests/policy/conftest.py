"""A small replica with every kind of record, and a clock that the tests move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.filings import Filing, Status
from gate.policy import Decider
from gate.replica import Replica

FILINGS = (
    Filing("child-elsewhere.filed.com", Status.FILED_ELSEWHERE),
    Filing("child-revoked.filed.com", Status.REVOKED),
    Filing("child-suspended.filed.com", Status.SUSPENDED, "京ICP备1号-2"),
    Filing("elsewhere.com", Status.FILED_ELSEWHERE),
    Filing("example.com", Status.FILED, "京ICP备12345678号-1"),
    Filing("example.com.cn", Status.FILED, "沪ICP备2021000001号"),
    Filing("filed.com", Status.FILED, "京ICP备1号-1"),
    Filing("filed.revoked.com", Status.FILED, "京ICP备2号-1"),
    Filing("filed.suspended.com", Status.FILED, "京ICP备3号-1"),
    Filing("lost.elsewhere.com", Status.REVOKED),
    Filing("revoked.com", Status.REVOKED),
    Filing("suspended.com", Status.SUSPENDED, "京ICP备3号-2"),
    Filing("xn--fsqu00a.xn--fiqs8s", Status.FILED, "粤ICP备12号-3A"),
)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        replica.load(FILINGS, epoch="e1", revision=1)
        yield replica


@pytest.fixture
def decider(replica: Replica, clock: Clock) -> Decider:
    return Decider(replica, clock=clock)
