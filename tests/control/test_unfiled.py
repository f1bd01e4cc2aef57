"""The table of blocked names: bounded, exact at the top, and kept across restarts."""

from __future__ import annotations

import asyncio
import os
import random
from asyncio import StreamWriter
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.control.blocked.names import BlockedNames
from gate.control.blocked.table import BlockedName, BlockedSort, BlockedTable
from gate.control.workers import Link, Workers
from gate.ipc.messages import Message
from gate.policy import Reason, Verdict
from gate.settings import Unfiled
from gate.worker.blocked_counts import BlockedCounts

DAY = 86400.0


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def table(names: int = 1000, clock: Clock | None = None) -> BlockedTable:
    return BlockedTable(names=names, keep_seconds=30 * DAY, clock=clock or Clock())


def row(
    name: str, count: int = 1, when: float = 1_700_000_000.0, reason: str = "unfiled"
) -> BlockedName:
    return BlockedName(name, "tls", reason, "default", count, when, when)


async def test_the_rows_of_all_workers_are_one() -> None:
    rows = table(clock=Clock(1_700_000_010.0))
    rows.add(row("a.cn", 2, 1_700_000_010.0))
    rows.add(row("a.cn", 3, 1_700_000_005.0))
    (found,) = await rows.rows()
    assert (found.count, found.first_seen, found.last_seen) == (5, 1_700_000_005.0, 1_700_000_010.0)


async def test_reasons_of_one_name_are_rows_of_their_own() -> None:
    rows = table()
    rows.add(row("a.cn"))
    rows.add(row("a.cn", reason="revoked"))
    assert len(await rows.rows(accept=lambda item: item.reason == "revoked")) == 1
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        (BlockedSort.COUNT, "old.cn"),
        (BlockedSort.RATE, "new.cn"),
        (BlockedSort.LAST_SEEN, "new.cn"),
    ],
)
async def test_rows_come_in_the_order_asked_for(sort: BlockedSort, first: str) -> None:
    clock = Clock()
    rows = table(clock=clock)
    rows.add(row("old.cn", 100, clock.now - 3600))
    rows.add(row("new.cn", 10, clock.now))
    assert (await rows.rows(sort=sort, limit=1))[0].name == first


@pytest.mark.parametrize("asked_again", [True, False])
async def test_a_clock_that_was_ahead_leaves_no_time_that_has_not_come_and_no_rate_that_stays(
    asked_again: bool,
) -> None:
    clock = Clock()
    true = clock.now
    clock.now += 365 * DAY
    rows = table(clock=clock)
    rows.add(row("a.cn", 600, clock.now))
    clock.now = true
    if asked_again:
        rows.add(row("a.cn", 1, true))
    await rows.forget_old()
    clock.now += 600
    (found,) = await rows.rows()
    assert (found.first_seen, found.last_seen, rows.since) == (true, true, true)
    assert found.rate_at(clock.now) < 1


async def test_the_top_thousand_of_a_long_tailed_stream_are_exact() -> None:
    chance = random.Random(7)
    names = [f"n{number}.cn" for number in range(30_000)]
    weights = [1 / (rank + 1) for rank in range(len(names))]
    stream = chance.choices(names, weights, k=300_000)
    rows = table(Unfiled().names)
    for name in stream:
        rows.add(row(name))
    true = Counter(stream)
    found = {item.name: item.count for item in (await rows.rows(limit=1000))}
    assert found == {name: true[name] for name in found}
    assert min(found.values()) >= sorted(true.values())[-1000]
    assert len(rows) < len(true), "the table was too small for all names"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4)), max_size=300))
async def test_a_count_never_tells_too_much_and_all_together_miss_exactly_the_unlisted(
    stream: list[tuple[int, int]],
) -> None:
    rows = table(20)
    true: Counter[str] = Counter()
    for number, count in stream:
        rows.add(row(f"n{number}.cn", count))
        true[f"n{number}.cn"] += count
    assert len(rows) <= 20
    assert all(item.count <= true[item.name] for item in (await rows.rows()))
    assert sum(item.count for item in (await rows.rows())) + rows.unlisted == true.total()


async def test_a_name_that_nobody_asks_for_any_more_is_forgotten() -> None:
    clock = Clock()
    rows = table(clock=clock)
    rows.add(row("old.cn", 100, clock.now))
    clock.now += 31 * DAY
    rows.add(row("new.cn", 1, clock.now))
    await rows.forget_old()
    assert [item.name for item in (await rows.rows())] == ["new.cn"]
    assert rows.unlisted == 0


async def test_a_table_is_the_same_after_a_restart(tmp_path: Path) -> None:
    rows = table(20)
    for number in range(50):
        rows.add(row(f"n{number}.cn", number + 1))
    await rows.save(tmp_path / "unfiled.json")
    again = table(20)
    again.restore(tmp_path / "unfiled.json")
    assert (await again.rows()) == (await rows.rows())
    assert (again.unlisted, again.since) == (rows.unlisted, rows.since)
    assert (tmp_path / "unfiled.json").stat().st_mode & 0o777 == 0o600


async def test_a_smaller_table_takes_up_the_most_asked_for(tmp_path: Path) -> None:
    rows = table(100)
    for number in range(100):
        rows.add(row(f"n{number}.cn", number + 1))
    await rows.save(tmp_path / "unfiled.json")
    small = table(10)
    small.restore(tmp_path / "unfiled.json")
    assert [item.count for item in (await small.rows())] == list(range(100, 90, -1))


class Answering(Workers):
    """One worker that gives its answers as a real one does: again until they are kept."""

    def __init__(self, pending: BlockedCounts, pid: int) -> None:
        super().__init__(1)
        self.pending = pending
        self.pid = pid

    async def ask(self, kind: str, **how: Any) -> dict[Link, Message]:
        link = Link(0, self.pid, 12, cast(StreamWriter, None))
        return {link: self.pending.take(**how["fields"](link))}


async def test_an_answer_counts_once_although_the_control_process_is_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "unfiled.json"
    pending = BlockedCounts(lambda name: "default")
    worker = Answering(pending, os.getpid())
    pending.add("tls", {Verdict(False, Reason.UNFILED, Reason.UNFILED.code, "a.cn"): 7}, 1.0)
    before = BlockedNames(table(), path)
    await before.collect_from(worker)
    await before.save()
    after = BlockedNames(table(), path)
    await after.collect_from(worker)
    assert [item.count for item in (await after.table.rows())] == [7]


async def test_a_control_process_that_is_killed_costs_no_count(tmp_path: Path) -> None:
    path = tmp_path / "unfiled.json"
    pending = BlockedCounts(lambda name: "default")
    worker = Answering(pending, os.getpid())
    unfiled = Verdict(False, Reason.UNFILED, Reason.UNFILED.code, "a.cn")
    before = BlockedNames(table(), path)
    for count in (1, 10, 100):
        pending.add("tls", {unfiled: count}, 1.0)
        await before.collect_from(worker)
        if count == 1:
            await before.save()
    after = BlockedNames(table(), path)
    for _ in range(3):
        await after.collect_from(worker)
    assert [item.count for item in (await after.table.rows())] == [111]


async def test_an_answer_is_held_until_it_is_on_the_disk_and_no_longer(tmp_path: Path) -> None:
    pending = BlockedCounts(lambda name: "default")
    worker = Answering(pending, os.getpid())
    names = BlockedNames(table(), tmp_path / "unfiled.json")
    pending.add("tls", {Verdict(False, Reason.UNFILED, Reason.UNFILED.code, "a.cn"): 7}, 1.0)
    for _ in range(2):
        await names.collect_from(worker)
    assert [len(answer["rows"]) for answer in pending.rest()] == [1, 0]
    await names.save()
    await names.collect_from(worker)
    assert [len(answer["rows"]) for answer in pending.rest()] == [0]


async def test_what_comes_while_the_table_is_saved_is_not_in_the_file_and_counts_after(
    tmp_path: Path,
) -> None:
    path = tmp_path / "unfiled.json"
    names = BlockedNames(table(20_000), path)
    for number in range(20_000):
        names.table.add(row(f"n{number}.cn"))
    saving = asyncio.create_task(names.save())
    link = Link(0, os.getpid(), 12, cast(StreamWriter, None))
    turns = 0
    while not saving.done():
        await asyncio.sleep(0)
        turns += 1
        fields = ["n19999.cn", "tls", "unfiled", "default", 1, 1.0, 1_700_000_001.0]
        answer = {"number": turns, "unlisted": 1, "rows": [fields]}
        names.farewell(link, {"unfiled": [answer]})
    assert turns > 1, "saving has left nobody a turn"
    saved = table(20_000)
    saved.restore(path)
    assert (len(saved), saved.unlisted) == (20_000, 0)
    assert [item.count for item in await saved.rows()] == [1] * 20_000
    (most, *_) = await names.table.rows()
    assert (most.name, most.count, names.table.unlisted) == ("n19999.cn", 1 + turns, turns)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rows": [[1]]}', '{"rows": []}'])
async def test_a_damaged_file_is_kept_aside_and_counting_goes_on(tmp_path: Path, text: str) -> None:
    path = tmp_path / "unfiled.json"
    path.write_text(text)
    rows = table()
    rows.restore(path)
    assert len(rows) == 0
    assert path.with_suffix(".bad").read_text() == text
    rows.add(row("a.cn"))
    await rows.save(path)
