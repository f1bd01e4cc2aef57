"""Operators' overrides: in force when acknowledged, until their time, and not a moment less."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gate.control.operators.audit import AuditLog
from gate.control.operators.overrides import Overrides
from gate.control.workers import Unconfirmed
from gate.control.workers import Workers as RealWorkers
from gate.filings import Override, OverrideKind
from gate.replica import Replica

NOW = 1_700_000_000.0
EXEMPT = Override("a.cn", OverrideKind.EXEMPT, NOW + 60, "a test", "somebody", NOW)
SUSPENDED = Override("a.cn", OverrideKind.SUSPENDED, None, "a test", "somebody", NOW)


class Workers(RealWorkers):
    """A fleet without processes: notes what is enforced; `busy` holds each enforcement up."""

    def __init__(self) -> None:
        super().__init__(0)
        self.enforced: list[list[str]] = []
        self.busy: asyncio.Event | None = None
        self.fails = False

    async def invalidate(self, domains: object, *rest: object, **more: object) -> None:
        if self.busy is not None:
            await self.busy.wait()
        if self.fails:
            raise Unconfirmed("worker 0 is stuck")
        assert isinstance(domains, list)
        self.enforced.append(domains)


@dataclass
class Desk:
    """The overrides of a replica, with a clock that stands still."""

    replica: Replica
    path: Path
    now: float = NOW

    def __post_init__(self) -> None:
        self.workers = Workers()
        audit = AuditLog(self.path / "audit.jsonl", clock=lambda: self.now)
        self.overrides = Overrides(self.replica, self.workers, audit, clock=lambda: self.now)

    def audited(self) -> list[tuple[str, str]]:
        path = self.path / "audit.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(entry["action"], entry["target"]) for entry in map(json.loads, lines)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        yield Desk(replica, tmp_path)


async def test_what_ran_out_is_enforced_together_written_down_and_forgotten(desk: Desk) -> None:
    for domain in ("a.cn", "b.cn"):
        await desk.overrides.put(replace(EXEMPT, domain=domain))
    await desk.overrides.put(replace(SUSPENDED, domain="c.cn"))
    desk.workers.enforced.clear()
    desk.now += 60
    await desk.overrides.end_what_ran_out()
    assert desk.workers.enforced == [["a.cn", "b.cn"]]
    assert desk.audited() == [("end override", "a.cn"), ("end override", "b.cn")]
    assert list(desk.replica.overrides()) == ["c.cn"]


async def test_an_exemption_that_is_prolonged_as_it_ends_lasts(desk: Desk) -> None:
    await desk.overrides.put(replace(EXEMPT, domain="b.cn"))
    await desk.overrides.put(EXEMPT)
    desk.now += 60
    desk.workers.busy = asyncio.Event()
    longer = replace(EXEMPT, until=desk.now + 3600)
    prolonging = asyncio.create_task(desk.overrides.put(longer))
    while desk.replica.overrides()["a.cn"] != longer:  # noqa: ASYNC110 - a thread stores it
        await asyncio.sleep(0.001)
    ending = asyncio.create_task(desk.overrides.end_what_ran_out())
    await asyncio.sleep(0)
    desk.workers.busy.set()
    await asyncio.gather(prolonging, ending)
    assert desk.overrides.all() == [longer]


async def test_an_exemption_that_is_prolonged_while_another_one_ends_lasts(desk: Desk) -> None:
    await desk.overrides.put(EXEMPT)
    await desk.overrides.put(replace(EXEMPT, domain="b.cn"))
    desk.now += 60
    longer = replace(EXEMPT, domain="b.cn", until=desk.now + 3600)
    desk.workers.busy = asyncio.Event()
    ending = asyncio.create_task(desk.overrides.end_what_ran_out())
    await asyncio.sleep(0)
    prolonging = asyncio.create_task(desk.overrides.put(longer))
    await asyncio.sleep(0)
    desk.workers.busy.set()
    await asyncio.gather(ending, prolonging)
    assert desk.overrides.all() == [longer]


async def test_an_end_that_a_worker_did_not_confirm_is_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.control.operators.overrides._RETRY_SECONDS", 0.0)
    await desk.overrides.put(EXEMPT)
    desk.workers.enforced.clear()
    desk.now += 60
    desk.workers.fails = True
    await desk.overrides.end_what_ran_out()
    assert desk.audited() == []
    desk.workers.fails = False
    await desk.overrides.end_what_ran_out()
    assert desk.workers.enforced == [["a.cn"]]
    assert desk.audited() == [("end override", "a.cn")]
    assert desk.replica.overrides() == {}


async def test_only_the_override_that_was_looked_at_is_removed(desk: Desk) -> None:
    await desk.overrides.put(SUSPENDED)
    assert not await desk.overrides.remove(EXEMPT)
    assert desk.overrides.all() == [SUSPENDED]
    assert await desk.overrides.remove(SUSPENDED)
    assert desk.overrides.all() == []


@pytest.mark.parametrize("added", ["before", "meanwhile"])
async def test_an_override_ends_at_its_time_and_not_at_the_next_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, added: str
) -> None:
    monkeypatch.setattr("gate.control.operators.overrides._LOOK_SECONDS", 3600.0)
    began = time.monotonic()
    overrides = Overrides(
        desk.replica,
        desk.workers,
        AuditLog(desk.path / "audit.jsonl"),
        clock=lambda: NOW + time.monotonic() - began,
    )
    short = replace(EXEMPT, until=NOW + 0.3)
    if added == "before":
        await overrides.put(short)
    ending = asyncio.create_task(overrides.end_in_time())
    await asyncio.sleep(0.01)
    if added == "meanwhile":
        await overrides.put(short)
    async with asyncio.timeout(20):
        while desk.replica.overrides():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.01)
    ending.cancel()
    assert desk.audited() == [("end override", "a.cn")]
