"""An override's end in a worker: at its time, and not at the next look at the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.filings import Override, OverrideKind
from gate.policy import Decider
from gate.replica import Replica
from gate.worker.process import expire_in_time


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        replica.load([], epoch="e1", revision=1)
        yield replica


def exempt(replica: Replica, seconds: float) -> None:
    now = time.time()
    replica.set_override(Override("a.cn", OverrideKind.EXEMPT, now + seconds, "test", "me", now))


@pytest.mark.parametrize("added", ["before", "meanwhile"])
async def test_a_cached_verdict_goes_when_its_override_ends(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, added: str
) -> None:
    monkeypatch.setattr("gate.worker.process._TICK_SECONDS", 3600.0)
    decider, changed = Decider(replica), asyncio.Event()
    if added == "before":
        exempt(replica, 1.5)
    expiring = asyncio.create_task(expire_in_time(decider, changed))
    await asyncio.sleep(0.01)
    if added == "meanwhile":
        exempt(replica, 1.5)
        changed.set()
    assert decider.decide(b"www.a.cn").allowed
    assert decider.stats.size == 1
    async with asyncio.timeout(20):
        while decider.stats.size:  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.01)
    expiring.cancel()
    assert not decider.decide(b"www.a.cn").allowed
