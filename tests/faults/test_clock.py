"""The wall clock jumps, both ways: what ends at a time still ends then, and no sooner.

Here the parts that read it are given one; `test_wall_clock.py` sets that of a whole gate.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gate.changes.batch import Batch
from gate.filings import Change, Override, OverrideKind, Status
from gate.policy import Decider, Reason
from gate.replica import Replica
from gate.sync.applier import Applier

HOUR, YEAR = 3600.0, 365 * 86400.0
EPOCH = "2026"


@dataclass(slots=True)
class Clock:
    """`now` may be set; `elapsed` only ever counts."""

    now: float
    elapsed: float = 0.0

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds
        self.elapsed += seconds


class Nobody:
    """A fleet without workers: every change is in force."""

    async def enforce(self, *_: object) -> None:
        pass

    async def enforce_all(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC).timestamp())


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        yield replica


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
@pytest.mark.parametrize(
    ("kind", "host"), [(OverrideKind.EXEMPT, "unfiled.com"), (OverrideKind.SUSPENDED, "filed.com")]
)
def test_an_override_is_in_force_by_the_clock_whichever_way_it_jumps(
    replica: Replica, clock: Clock, jump: float, kind: OverrideKind, host: str
) -> None:
    replica.load_local([])
    replica.edit([Change("filed.com", Status.FILED, "", 0)])
    replica.set_override(
        Override(host, kind, until=clock.now + HOUR, reason="test", by="t", since=0)
    )
    decider = Decider(replica, clock=clock)
    special = {OverrideKind.EXEMPT: Reason.EXEMPT, OverrideKind.SUSPENDED: Reason.SUSPENDED}[kind]
    assert decider.decide(host.encode()).reason is special
    clock.now += jump
    decider.expire(clock.now)
    assert (decider.decide(host.encode()).reason is special) is (jump < 0)
    clock.now -= jump
    decider.expire(clock.now)
    assert decider.decide(host.encode()).reason is special, "its hour is not over"
    clock.now += HOUR
    decider.expire(clock.now)
    assert decider.decide(host.encode()).reason is not special


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
@pytest.mark.parametrize(
    ("kind", "host"), [(OverrideKind.EXEMPT, "unfiled.com"), (OverrideKind.SUSPENDED, "filed.com")]
)
def test_a_clock_that_went_there_and_back_unseen_leaves_no_verdict_of_that_time(
    replica: Replica, clock: Clock, jump: float, kind: OverrideKind, host: str
) -> None:
    """Judged while the clock was off, and no `expire` just then."""
    replica.load_local([])
    replica.edit([Change("filed.com", Status.FILED, "", 0)])
    end = clock.now + (HOUR if jump > 0 else -HOUR)
    replica.set_override(Override(host, kind, until=end, reason="test", by="t", since=0))
    decider = Decider(replica, clock=clock)
    before = decider.decide(host.encode()).reason
    decider.clear()
    clock.now += jump
    assert decider.decide(host.encode()).reason is not before
    clock.now -= jump
    decider.expire(clock.now)
    assert decider.decide(host.encode()).reason is before


async def applier_at(replica: Replica, clock: Clock) -> Applier:
    replica.load([], epoch=EPOCH, revision=1)
    return Applier(replica, Nobody(), clock=clock, elapsed=lambda: clock.elapsed)


def word(revision: int, issued_at: float) -> Batch:
    """The registry says that there is nothing new."""
    return Batch(EPOCH, revision, revision, (), head=revision, issued_at=int(issued_at))


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
async def test_a_jump_is_no_silence_and_hides_none(
    replica: Replica, clock: Clock, jump: float
) -> None:
    applier = await applier_at(replica, clock)
    await applier.apply(word(1, clock.now))
    clock.go_on(HOUR)
    clock.now += jump
    assert applier.staleness() == HOUR
    clock.go_on(HOUR)
    assert applier.staleness() == 2 * HOUR
    await applier.apply(word(1, clock.now))  # of a registry on this machine
    assert applier.staleness() == 0
    clock.now -= jump
    assert applier.staleness() == 0


async def test_a_clock_that_is_ahead_of_the_registrys_looks_like_silence_until_it_is_right(
    replica: Replica, clock: Clock
) -> None:
    applier = await applier_at(replica, clock)
    true = word(1, clock.now + HOUR)
    await applier.apply(word(1, clock.now))
    clock.now += YEAR
    clock.go_on(HOUR)
    await applier.apply(true)
    assert applier.staleness() == HOUR, "it might be a word that was held back for a year"
    clock.now -= YEAR
    await applier.apply(true)
    assert applier.staleness() == 0


@pytest.mark.parametrize("off", [YEAR, -YEAR])
async def test_a_start_while_the_clock_is_off_is_right_from_the_next_word_on(
    replica: Replica, clock: Clock, off: float
) -> None:
    replica.load([], epoch=EPOCH, revision=1)
    clock.now = time.time() + off
    applier = Applier(replica, Nobody(), clock=clock, elapsed=lambda: clock.elapsed)
    assert applier.staleness() == pytest.approx(max(off, 0), abs=60)
    await applier.apply(word(1, clock.now))
    assert applier.staleness() == pytest.approx(0, abs=1)
    clock.go_on(HOUR)
    assert applier.staleness() == pytest.approx(HOUR, abs=1)


async def test_changes_are_applied_in_the_order_of_their_numbers_whatever_the_clock_says(
    replica: Replica, clock: Clock
) -> None:
    applier = await applier_at(replica, clock)
    for revision, (jump, status) in enumerate(
        [(YEAR, Status.FILED), (-2 * YEAR, Status.ABSENT), (YEAR, Status.FILED)], start=1
    ):
        clock.now += jump
        change = Change("a.cn", status, "", int(clock.now))
        after = revision + 1
        batch = Batch(EPOCH, revision, after, (change,), after, issued_at=int(clock.now))
        assert await applier.apply(batch) == revision + 1
        found = replica.get("a.cn")
        assert found is not None
        assert (found.status is Status.FILED) is (status is Status.FILED)
