"""Applying: in order, on disk first, enforced in every worker, and only then acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.changes.batch import Batch
from gate.changes.errors import Cause, Gap, SyncError
from gate.changes.snapshot import Manifest
from gate.filings import Change, Filing, Status
from gate.replica import Replica, digest
from gate.replica.endings import Ending
from gate.sync.applier import Applier
from tests.sync.fleet import CachingFleet

EPOCH = "02-b"
NOW = 1_790_000_000.0


class Gate:
    """A replica, two workers, and the applier between them."""

    def __init__(self, path: Path) -> None:
        self.replica = Replica.open(path, writable=True)
        self.fleet = CachingFleet(self.replica)
        self.elapsed = 0.0
        self.now = NOW
        self.begin()

    def begin(self) -> None:
        """The control process starts again; the workers go on."""
        self.applier = Applier(
            self.replica, self.fleet, clock=lambda: self.now, elapsed=lambda: self.elapsed
        )

    async def snapshot(self, *filings: Filing, revision: int = 10, epoch: str = EPOCH) -> int:
        said = Manifest(epoch, revision, len(filings), digest(filings), int(NOW))
        return await self.applier.load(said, filings)

    async def refused(self, batch: Batch) -> SyncError:
        """The refusal of a batch, which must leave the replica as it is."""
        before = (self.replica.position(), self.replica.digest())
        with pytest.raises(SyncError) as caught:
            await self.applier.apply(batch)
        assert (self.replica.position(), self.replica.digest()) == before
        return caught.value


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "replica")
    yield gate
    gate.replica.close()


def batch(
    start: int, *changes: Change, epoch: str = EPOCH, head: int | None = None, at: int = int(NOW)
) -> Batch:
    end = start + len(changes)
    return Batch(epoch, start, end, changes, end if head is None else head, at)


def filed(domain: str) -> Change:
    return Change(domain, Status.FILED, "京ICP备12345678号-1", int(NOW))


def absent(domain: str) -> Change:
    return Change(domain, Status.ABSENT, "", int(NOW))


async def test_a_change_is_in_force_when_it_is_acknowledged(gate: Gate) -> None:
    await gate.snapshot(Filing("a.cn", Status.FILED))
    assert gate.fleet.passes("www.a.cn")
    assert not gate.fleet.passes("www.b.cn")
    assert await gate.applier.apply(batch(10, absent("a.cn"), filed("b.cn"))) == 12
    assert not gate.fleet.passes("www.a.cn")
    assert gate.fleet.passes("www.b.cn")
    assert gate.fleet.calls == ["all", "12: a.cn b.cn"]
    assert gate.fleet.revoked == ["a.cn"], "open connections of these are judged again"


async def test_a_repeat_is_answered_as_done(gate: Gate) -> None:
    await gate.snapshot()
    again = batch(10, filed("a.cn"))
    assert await gate.applier.apply(again) == 11
    assert await gate.applier.apply(again) == 11
    assert gate.applier.applied == 1


async def test_the_rest_of_a_half_known_batch_is_taken(gate: Gate) -> None:
    await gate.snapshot()
    await gate.applier.apply(batch(10, filed("a.cn")))
    assert await gate.applier.apply(batch(10, filed("a.cn"), filed("b.cn"))) == 12
    assert gate.fleet.passes("b.cn")
    assert gate.applier.applied == 2


async def test_an_old_batch_takes_nothing_back(gate: Gate) -> None:
    await gate.snapshot()
    old = batch(10, filed("a.cn"))
    await gate.applier.apply(old)
    await gate.applier.apply(batch(11, absent("a.cn")))
    assert await gate.applier.apply(old) == 12
    assert not gate.fleet.passes("a.cn")


async def test_a_gap_says_what_this_gate_has(gate: Gate) -> None:
    await gate.snapshot()
    error = await gate.refused(batch(12, filed("a.cn")))
    assert isinstance(error, Gap)
    assert error.have == 10


async def test_a_gate_without_a_set_takes_a_snapshot_first(gate: Gate) -> None:
    """It would be ready on the first changes alone, and block all the rest."""
    assert (await gate.refused(batch(0, filed("a.cn")))).cause is Cause.NEW_EPOCH
    assert gate.applier.position is None


@pytest.mark.parametrize(("epoch", "cause"), [("01-z", Cause.OLD_EPOCH), ("03-a", Cause.NEW_EPOCH)])
async def test_another_epoch_is_refused(gate: Gate, epoch: str, cause: Cause) -> None:
    await gate.snapshot()
    assert (await gate.refused(batch(10, filed("a.cn"), epoch=epoch))).cause is cause


@pytest.mark.parametrize(
    ("refused", "cause"),
    [
        (batch(12, filed("a.cn")), Cause.GAP),
        (batch(10, filed("a.cn"), epoch="01-z"), Cause.OLD_EPOCH),
        (batch(10, filed("a.cn"), epoch="03-a"), Cause.NEW_EPOCH),
    ],
    ids=["a gap", "an old epoch", "a new epoch"],
)
async def test_what_is_out_of_order_never_gets_as_far_as_the_replica(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, refused: Batch, cause: Cause
) -> None:
    """The replica would refuse it, too; the gate does not lean on that."""
    await gate.snapshot(Filing("b.cn", Status.FILED))
    calls = len(gate.fleet.calls)
    written: list[object] = []
    monkeypatch.setattr(Replica, "apply", lambda *args, **more: written.append(args))
    with pytest.raises(SyncError) as caught:
        await gate.applier.apply(refused)
    assert caught.value.cause is cause
    assert written == []
    assert (gate.applier.applied, gate.applier.head) == (0, 10)
    assert len(gate.fleet.calls) == calls


async def test_a_snapshot_of_an_old_epoch_never_gets_as_far_as_the_replica(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gate.snapshot(Filing("b.cn", Status.FILED))
    written: list[object] = []
    monkeypatch.setattr(Replica, "load", lambda *args, **more: written.append(args))
    for epoch, revision, cause in (
        ("01-z", 999, Cause.OLD_EPOCH),
        (EPOCH, 9, Cause.OLD_REVISION),
    ):
        with pytest.raises(SyncError) as caught:
            await gate.snapshot(Filing("a.cn", Status.FILED), revision=revision, epoch=epoch)
        assert caught.value.cause is cause
    assert written == []


async def test_a_snapshot_begins_a_new_epoch(gate: Gate) -> None:
    await gate.snapshot(Filing("a.cn", Status.FILED), revision=900)
    assert gate.fleet.passes("a.cn")
    await gate.snapshot(Filing("b.cn", Status.FILED), revision=5, epoch="03-a")
    assert not gate.fleet.passes("a.cn")
    assert gate.fleet.passes("b.cn")
    assert gate.applier.head == 5


@pytest.mark.parametrize(
    ("epoch", "revision", "cause"),
    [("01-z", 999, Cause.OLD_EPOCH), (EPOCH, 9, Cause.OLD_REVISION)],
)
async def test_a_snapshot_of_the_past_is_refused(
    gate: Gate, epoch: str, revision: int, cause: Cause
) -> None:
    await gate.snapshot(Filing("a.cn", Status.FILED))
    with pytest.raises(SyncError) as caught:
        await gate.snapshot(revision=revision, epoch=epoch)
    assert caught.value.cause is cause
    assert gate.fleet.passes("a.cn")


async def test_an_imported_list_gives_way_to_a_snapshot(gate: Gate) -> None:
    gate.replica.load_local([Filing("a.cn", Status.FILED)])
    assert (await gate.refused(batch(1, filed("b.cn")))).cause is Cause.NEW_EPOCH
    await gate.snapshot(Filing("b.cn", Status.FILED), epoch="01-a", revision=0)
    assert not gate.fleet.passes("a.cn")


@pytest.mark.parametrize(
    ("filings", "count", "cause"),
    [
        ([Filing("b.cn", Status.FILED), Filing("a.cn", Status.FILED)], 2, Cause.MALFORMED),
        ([Filing("B.cn", Status.FILED)], 1, Cause.MALFORMED),
    ],
)
async def test_a_snapshot_that_is_out_of_order_is_refused_as_a_whole(
    gate: Gate, filings: list[Filing], count: int, cause: Cause
) -> None:
    await gate.snapshot(Filing("old.cn", Status.FILED))
    before = gate.replica.digest()
    with pytest.raises(SyncError) as caught:
        await gate.snapshot(*filings, revision=20)
    assert caught.value.cause is cause
    assert gate.replica.digest() == before
    assert gate.fleet.passes("old.cn")


async def test_what_a_broken_stream_gives_is_not_in_force(gate: Gate) -> None:
    def stream() -> Iterator[Filing]:
        yield Filing("new.cn", Status.FILED)
        raise SyncError(Cause.TRUNCATED, "it broke")

    await gate.snapshot(Filing("old.cn", Status.FILED))
    said = Manifest(EPOCH, 11, 2, hashlib.sha256().hexdigest(), 0)
    with pytest.raises(SyncError, match="it broke"):
        await gate.applier.load(said, stream())
    assert gate.applier.position is not None
    assert gate.applier.position.revision == 10
    assert gate.fleet.passes("old.cn")
    assert not gate.fleet.passes("new.cn")


async def test_nothing_is_acknowledged_while_a_worker_does_not_answer(gate: Gate) -> None:
    await gate.snapshot(Filing("a.cn", Status.FILED))
    assert gate.fleet.passes("a.cn")
    gate.fleet.broken = True
    change = batch(10, absent("a.cn"))
    for _ in range(2):  # the repeat neither
        with pytest.raises(SyncError) as caught:
            await gate.applier.apply(change)
        assert caught.value.cause is Cause.UNENFORCED
    assert gate.applier.enforced is not None
    assert gate.applier.enforced.revision == 10
    gate.fleet.broken = False
    assert await gate.applier.apply(change) == 11
    assert not gate.fleet.passes("a.cn")
    assert gate.applier.enforced.revision == 11


async def test_a_later_batch_pays_the_debt_of_an_earlier_one(gate: Gate) -> None:
    await gate.snapshot(Filing("a.cn", Status.FILED))
    assert gate.fleet.passes("a.cn")
    gate.fleet.broken = True
    with pytest.raises(SyncError):
        await gate.applier.apply(batch(10, absent("a.cn")))
    gate.fleet.broken = False
    assert await gate.applier.apply(batch(11, filed("b.cn"))) == 12
    assert not gate.fleet.passes("a.cn")
    assert "a.cn" in gate.fleet.revoked


async def test_a_restart_between_apply_and_acknowledgement_loses_no_invalidation(
    gate: Gate,
) -> None:
    """The control process dies after the commit; its workers still have the old verdicts."""
    await gate.snapshot(Filing("a.cn", Status.FILED))
    assert gate.fleet.passes("a.cn")
    change = batch(10, absent("a.cn"))
    gate.fleet.broken = True
    with pytest.raises(SyncError):
        await gate.applier.apply(change)
    gate.fleet.broken = False
    gate.begin()
    assert await gate.applier.apply(change) == 11
    assert not gate.fleet.passes("a.cn")


async def test_many_pushes_at_once_are_applied_in_order(gate: Gate) -> None:
    await gate.snapshot()
    parts = [batch(10 + n, filed(f"a{n}.cn")) for n in range(20)]
    waiting = list(parts)
    while waiting:  # whoever met a gap comes again, as a registry would
        results = await asyncio.gather(*map(gate.applier.apply, waiting), return_exceptions=True)
        waiting = [
            part for part, result in zip(waiting, results, strict=True) if isinstance(result, Gap)
        ]
        assert all(isinstance(result, int | Gap) for result in results)
        waiting.reverse()
    assert gate.applier.applied == 20
    assert gate.replica.count() == 20


async def test_a_cut_off_task_leaves_no_commit_untold(gate: Gate) -> None:
    await gate.snapshot(Filing("a.cn", Status.FILED))
    assert gate.fleet.passes("a.cn")
    task = asyncio.create_task(gate.applier.apply(batch(10, absent("a.cn"))))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    while gate.replica.position() != gate.applier.enforced:  # the commit may still be under way
        await gate.applier.settle()
        await asyncio.sleep(0)
    assert gate.fleet.passes("a.cn") == (gate.applier.enforced.revision == 10)  # type: ignore[union-attr]


async def test_freshness_is_the_registrys_word_and_never_of_the_future(gate: Gate) -> None:
    await gate.snapshot()
    assert gate.applier.staleness() == 0
    gate.elapsed += 2_000
    early = int(NOW) - 500
    await gate.applier.apply(batch(10, filed("a.cn"), head=99, at=early))
    assert gate.applier.staleness() == 2_000, "there is more to come"
    assert gate.applier.head == 99
    await gate.applier.apply(batch(11, filed("b.cn"), head=12, at=early))
    assert gate.applier.staleness() == 500
    await gate.applier.apply(batch(12, at=early - 100))
    assert gate.applier.staleness() == 500, "a word that was held back"
    await gate.applier.apply(batch(12, at=int(NOW) + 10_000))
    assert gate.applier.staleness() == 0


async def test_a_commit_whose_task_is_cancelled_is_told_to_the_workers_all_the_same(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection to NATS is lost while its batch is on its way to the disk."""
    await gate.snapshot(Filing("a.cn", Status.FILED))
    assert gate.fleet.passes("www.a.cn")
    begun, go_on = threading.Event(), threading.Event()
    commit = gate.replica.apply

    def slow(*args: Any, **more: Any) -> None:
        begun.set()
        assert go_on.wait(10)
        commit(*args, **more)

    monkeypatch.setattr(gate.replica, "apply", slow)
    applying = asyncio.create_task(gate.applier.apply(batch(10, absent("a.cn"))))
    assert await asyncio.to_thread(begun.wait, 10)
    applying.cancel()
    settling = asyncio.create_task(gate.applier.settle())  # the pull, meanwhile
    await asyncio.wait([settling], timeout=0.1)
    go_on.set()
    await asyncio.gather(settling, applying, return_exceptions=True)
    assert applying.cancelled()
    position = gate.replica.position()
    assert position is not None
    assert position.revision == 11, "the commit could not be called back"
    assert await gate.applier.apply(batch(11, filed("b.cn"))) == 12
    assert not gate.fleet.passes("www.a.cn")


async def test_a_load_whose_task_is_cancelled_ends_before_the_next_write(gate: Gate) -> None:
    """The gate stops, or its sync, while millions of filings are loaded."""
    await gate.snapshot(Filing("a.cn", Status.FILED))
    begun, go_on = threading.Event(), threading.Event()

    def filings() -> Iterator[Filing]:
        begun.set()
        assert go_on.wait(10)
        yield Filing("b.cn", Status.FILED)
        yield Filing("c.cn", Status.FILED)

    said = Manifest(EPOCH, 20, 2, "0" * 64, int(NOW))
    loading = asyncio.create_task(gate.applier.load(said, filings()))
    assert await asyncio.to_thread(begun.wait, 10)
    loading.cancel()
    applying = asyncio.create_task(gate.applier.apply(batch(10, filed("d.cn"))))
    await asyncio.wait([loading, applying], timeout=0.1)
    assert not loading.done()
    assert not applying.done()
    go_on.set()
    assert await applying == 11
    assert loading.cancelled()
    assert [filing.domain for filing in gate.replica.items()] == ["a.cn", "d.cn"]
    assert gate.fleet.passes("d.cn")


def decided(domain: str, status: Status, then: Status, *, seconds: int = 60) -> Change:
    """An operator's decision for every gate, as the registry tells it."""
    text = Ending(int(NOW) + seconds, then, "" if then is Status.ABSENT else "京ICP备1号-1")
    return Change(domain, status, text.beside(status), int(NOW))


@pytest.mark.parametrize(
    ("status", "then"),
    [
        (Status.FILED, Status.ABSENT),
        (Status.FILED, Status.FILED_ELSEWHERE),
        (Status.FILED, Status.SUSPENDED),
        (Status.SUSPENDED, Status.FILED),
        (Status.SUSPENDED, Status.ABSENT),
    ],
)
@pytest.mark.parametrize("by_snapshot", [False, True])
async def test_what_has_an_end_ends_by_the_gate_s_own_clock(
    gate: Gate, status: Status, then: Status, by_snapshot: bool
) -> None:
    told = decided("a.cn", status, then)
    if by_snapshot:
        await gate.snapshot(Filing("a.cn", status, told.licence), Filing("b.cn", Status.FILED))
    else:
        await gate.snapshot(Filing("b.cn", Status.FILED))
        await gate.applier.apply(batch(10, told))
    gate.now += 59.9
    await gate.applier.end()
    assert gate.fleet.passes("www.a.cn") is (status is Status.FILED)
    at = gate.replica.position()
    gate.now += 0.1
    await gate.applier.end()
    assert gate.fleet.passes("www.a.cn") is (then is Status.FILED)
    found = gate.replica.lookup("a.cn")
    assert found is not None
    if then is Status.ABSENT:
        assert (found.status, found.licence) == (Status.REVOKED, "")
    else:
        assert (found.status, found.licence) == (then, "京ICP备1号-1")
    assert gate.replica.position() == at  # the registry's own change is still to come
    assert gate.replica.count() == 1 + (then is not Status.ABSENT)
    calls = len(gate.fleet.calls)
    await gate.applier.end()
    assert len(gate.fleet.calls) == calls  # once


async def test_a_decision_that_was_changed_or_ended_meanwhile_does_not_end_again(
    gate: Gate,
) -> None:
    await gate.snapshot(Filing("b.cn", Status.FILED))
    await gate.applier.apply(
        batch(
            10,
            decided("a.cn", Status.FILED, Status.ABSENT, seconds=60),
            decided("a.cn", Status.FILED, Status.ABSENT, seconds=120),
            decided("b.cn", Status.SUSPENDED, Status.FILED),
            Change("b.cn", Status.SUSPENDED, "京ICP备1号-1", int(NOW)),
        )
    )
    gate.now += 61
    await gate.applier.end()
    assert gate.fleet.passes("a.cn")
    assert not gate.fleet.passes("b.cn")
    gate.now += 60
    await gate.applier.end()
    assert not gate.fleet.passes("a.cn")
    assert await gate.applier.apply(batch(14, absent("a.cn"))) == 15


async def test_an_end_that_no_worker_confirms_is_tried_again(gate: Gate) -> None:
    await gate.snapshot(Filing("b.cn", Status.FILED))
    await gate.applier.apply(batch(10, decided("a.cn", Status.FILED, Status.ABSENT)))
    assert gate.fleet.passes("a.cn")
    gate.now += 60
    gate.fleet.broken = True
    with pytest.raises(SyncError):
        await gate.applier.end()
    gate.fleet.broken = False
    await gate.applier.end()
    assert not gate.fleet.passes("a.cn")


async def test_a_control_process_that_starts_without_its_registry_ends_what_is_over(
    gate: Gate,
) -> None:
    await gate.snapshot(Filing("b.cn", Status.FILED))
    await gate.applier.apply(batch(10, decided("a.cn", Status.FILED, Status.ABSENT)))
    assert gate.fleet.passes("a.cn")
    gate.now += 3_600
    gate.begin()
    await gate.applier.end()
    assert not gate.fleet.passes("a.cn")
