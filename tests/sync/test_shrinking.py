"""A snapshot that would close much waits for a person's word."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.changes.errors import Cause, SyncError
from gate.changes.snapshot import Manifest
from gate.registry.bulk.files import FileFormat
from gate.replica import Difference
from gate.sync.shrinking import NothingHeld, ShrinkGuard
from tests.harness.following import (
    figure,
    follow,
    make_gate,
    passes,
    wait_for_revision,
)
from tests.harness.gate_process import Gate, run_gate
from tests.harness.registry_process import RegistryProcess
from tests.harness.running import fill, log_of
from tests.harness.waiting import wait_for

# The guard

pytestmark = pytest.mark.programs


def manifest(count: int = 0, *, epoch: str = "e2", revision: int = 7) -> Manifest:
    return Manifest(epoch, revision, count, "0" * 64, 1)


def guard(bound: float = 0.1) -> ShrinkGuard:
    return ShrinkGuard(bound, clock=lambda: 1_790_000_000.0)


def held_by(guard: ShrinkGuard, wanted: Manifest, difference: Difference) -> bool:
    """Is the snapshot held?"""
    try:
        guard.check(wanted)(difference)
    except SyncError as error:
        return error.cause is Cause.SHRINKS
    return False


@pytest.mark.parametrize(
    ("bound", "filed", "closing", "is_held"),
    [
        (0.1, 100, 10, False),
        (0.1, 100, 11, True),
        (0.1, 0, 0, False),
        (0.1, 1, 1, True),
        (0.0, 1000, 0, False),
        (0.0, 1000, 1, True),
        (1.0, 1000, 1000, False),
    ],
)
async def test_a_snapshot_is_held_that_closes_more_than_the_bound(
    bound: float, filed: int, closing: int, is_held: bool
) -> None:
    tried = guard(bound)
    assert held_by(tried, manifest(), Difference(filed, closing, 5)) is is_held
    if tried.held is None:
        assert not is_held
    else:
        assert (tried.held.epoch, tried.held.revision) == ("e2", 7)
        assert (tried.held.filed, tried.held.closing) == (filed, closing)


@pytest.mark.parametrize(
    ("later", "closing", "is_held"),
    [
        (manifest(), 50, False),
        (manifest(revision=9), 50, False),
        (manifest(revision=9), 60, False),  # a little more: the bound beyond what was shown
        (manifest(revision=9), 61, True),
        (manifest(epoch="e3"), 50, True),
    ],
)
async def test_a_word_is_for_what_was_shown(later: Manifest, closing: int, is_held: bool) -> None:
    tried = guard()
    assert held_by(tried, manifest(), Difference(100, 50, 0))
    assert tried.accept("e2").closing == 50
    assert held_by(tried, later, Difference(100, closing, 0)) is is_held


async def test_a_word_counts_once() -> None:
    tried = guard()
    assert held_by(tried, manifest(), Difference(100, 50, 0))
    tried.accept("e2")
    assert not held_by(tried, manifest(), Difference(100, 50, 0))
    tried.loaded()
    assert tried.held is None
    assert held_by(tried, manifest(revision=8), Difference(50, 25, 0))


async def test_a_word_for_another_snapshot_is_refused() -> None:
    tried = guard()
    with pytest.raises(NothingHeld, match="no snapshot waits"):
        tried.accept("e2")
    assert held_by(tried, manifest(), Difference(100, 50, 0))
    with pytest.raises(NothingHeld, match="of epoch e2, not e3"):
        tried.accept("e3")


@pytest.mark.parametrize(
    ("later", "is_fetched"),
    [
        (manifest(50), False),  # the same
        (manifest(89, revision=8), False),  # another, which must close 11 at least
        (manifest(90, revision=8), True),
        (manifest(500, revision=8), True),
    ],
)
async def test_a_held_snapshot_is_not_fetched_again_and_again(
    later: Manifest, is_fetched: bool
) -> None:
    tried = guard()
    tried.look(manifest(50))  # nothing is known yet
    assert held_by(tried, manifest(50), Difference(100, 50, 0))
    if is_fetched:
        tried.look(later)
    else:
        with pytest.raises(SyncError, match="gate sync accept"):
            tried.look(later)
    tried.accept("e2")
    tried.look(later)  # by a person's word it is


async def test_a_word_ends_the_wait() -> None:
    tried = guard()
    assert held_by(tried, manifest(), Difference(100, 50, 0))
    waiting = asyncio.create_task(tried.wait())
    await asyncio.sleep(0)
    tried.accept("e2")
    async with asyncio.timeout(5):
        await waiting


# A gate and its registry


def import_into(registry: RegistryProcess, domains: list[str]) -> None:
    """Fill a registry from a list."""
    path = registry.folder / "list.csv"
    rows = [f"{domain},京ICP备12345678号-{n},示例公司" for n, domain in enumerate(domains, 1)]
    path.write_text("\n".join(["domain,licence,subject", *rows]), encoding="utf-8")
    state = list(registry.remote.import_file(path, FileFormat.CSV))[-1]
    assert (state.state, state.accepted) == ("done", len(domains))


@contextlib.contextmanager
def running(gate: Gate) -> Iterator[Gate]:
    try:
        yield gate.start()
    finally:
        gate.stop()


def status_of(gate: Gate) -> dict[str, Any]:
    """What `gate status` shows; empty while the admin port is away."""
    code, text = gate.ask_admin("/v1/status")
    return dict(json.loads(text)) if code == 200 else {}


def is_held(gate: Gate) -> bool:
    return bool((status_of(gate).get("sync") or {}).get("held"))


def emptied(registry: RegistryProcess) -> None:
    """The registry comes back with a new and nearly empty database, as after a bad restore."""
    registry.kill()
    registry.registry["max_shrink"] = "100%"  # or it gave such a set to no gate itself
    registry.write()
    for path in registry.folder.glob("registry.db*"):
        path.unlink()
    registry.issue_tokens()
    path = registry.folder / "rest.csv"
    path.write_text("domain,licence,subject\nd1.cn,京ICP备12345678号-1,示例公司\n")
    run_gate("registry", "import", str(path), "--db", str(registry.folder / "registry.db"))
    registry.start()


def is_enforced(gate: Gate, entries: int) -> bool:
    """Has every worker a set of so many domains in force?"""
    status = status_of(gate)
    sync = status.get("sync") or {}
    return (
        bool(sync)
        and status["replica"]["entries"] == entries
        and sync["enforced"] == sync["revision"] == status["replica"]["revision"]
    )


DOMAINS = [f"d{number}.cn" for number in range(20)]


def test_a_registry_that_lost_its_filings_takes_no_site_offline(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    import_into(registry, DOMAINS)
    gate = make_gate(tmp_path / "gate", follow(registry))
    with running(gate):
        wait_for_revision(gate, 20)
        emptied(registry)
        wait_for(lambda: is_held(gate), f"the snapshot to wait; the log is {gate.log}")
        assert passes(gate, "d2.cn")
        assert gate.readiness() == 200
        assert figure(gate, "gate_sync_held_closing_domains") == 19
        assert figure(gate, "gate_sync_refused_total", channel="pull", cause="shrinks") >= 1
        said = run_gate("status", "--config", str(gate.config)).stdout
        assert "would close 19 of 20 filed domains" in said
        assert "would close 19 of 20 filed domains" in log_of(gate)

        accept = ("sync", "accept", "--config", str(gate.config), "--reason", "they are gone")
        asked = run_gate(*accept, check=False)
        assert asked.returncode == 3
        assert "would close 19 of 20 filed domains; nothing was changed" in asked.stderr
        assert is_held(gate)
        assert passes(gate, "d2.cn")

        assert "accepted" in run_gate(*accept, "--yes").stdout
        wait_for(lambda: not is_held(gate) and is_enforced(gate, 1), "the accepted snapshot")
        assert (passes(gate, "d1.cn"), passes(gate, "d2.cn")) == (True, False)
        assert figure(gate, "gate_sync_held_closing_domains") == 0
        (entry,) = json.loads(gate.ask_admin("/v1/audit")[1])["items"]
        assert (entry["action"], entry["detail"]["closing"]) == ("accept snapshot", 19)
        assert entry["detail"]["reason"] == "they are gone"
        nothing = run_gate(*accept, "--yes", check=False)
        assert (nothing.returncode, "no snapshot waits" in nothing.stderr) == (2, True)


def test_a_gate_that_was_told_so_takes_what_the_registry_has(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    import_into(registry, DOMAINS)
    gate = make_gate(tmp_path / "gate", follow(registry, max_shrink="100%"))
    with running(gate):
        wait_for_revision(gate, 20)
        emptied(registry)
        wait_for(lambda: is_enforced(gate, 1), "the smaller set")
        assert (passes(gate, "d1.cn"), passes(gate, "d2.cn")) == (True, False)


def test_an_imported_list_gives_way_to_a_smaller_registry_by_word_only(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    registry.file("d1.cn")
    gate = make_gate(tmp_path / "gate", follow(registry))
    fill(gate, "\n".join(DOMAINS))
    with running(gate):
        wait_for(lambda: is_held(gate), f"the snapshot to wait; the log is {gate.log}")
        assert passes(gate, "d2.cn")
        run_gate("sync", "accept", "--config", str(gate.config), "--yes", "--reason", "a pilot")
        wait_for(lambda: is_enforced(gate, 1), "the registry's set")
        assert (passes(gate, "d1.cn"), passes(gate, "d2.cn")) == (True, False)
        assert "the imported list of 20 domains has given way" in log_of(gate)


def test_changes_one_by_one_wait_for_nobody(registry: RegistryProcess, tmp_path: Path) -> None:
    gate = make_gate(tmp_path / "gate", follow(registry))
    with running(gate):
        for domain in ("a.cn", "b.cn"):
            registry.file(domain)
        wait_for_revision(gate, registry.cancel("a.cn"))
        assert (passes(gate, "a.cn"), passes(gate, "b.cn")) == (False, True)


# An empty set


def test_a_new_gate_on_an_empty_registry_takes_no_traffic_until_the_first_filing(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    gate = make_gate(tmp_path / "gate", follow(registry, allow_empty=False))
    try:
        gate.start_until(
            lambda: "no filing yet" in gate.ask_admin("/readyz")[1], "the word that it waits"
        )
        assert gate.readiness() == 503
        assert "sync.allow_empty" in gate.ask_admin("/readyz")[1]
        with pytest.raises(ConnectionRefusedError):
            passes(gate, "a.cn")
        registry.file("a.cn")
        wait_for(lambda: gate.readiness() == 200, "readiness with the first filing")
        assert passes(gate, "a.cn")
        assert not passes(gate, "b.cn")
    finally:
        gate.stop()


def test_a_gate_that_loses_its_last_filing_goes_on_and_warns(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    gate = make_gate(tmp_path / "gate", follow(registry, allow_empty=False))
    registry.file("a.cn")
    with running(gate):
        wait_for_revision(gate, registry.cancel("a.cn"))
        assert gate.readiness() == 200
        assert not passes(gate, "a.cn")
        wait_for(
            lambda: "the replica holds no filing: every name is blocked" in log_of(gate),
            "the warning",
        )
        assert status_of(gate)["warnings"] == ["the replica holds no filing: every name is blocked"]
        gate.stop()
        gate.start()  # it has had one: that is no new gate
        assert not passes(gate, "a.cn")


def test_an_empty_registry_that_is_meant_blocks_everything(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    gate = make_gate(tmp_path / "gate", follow(registry, allow_empty=True))
    with running(gate):
        assert not passes(gate, "a.cn")
        assert status_of(gate)["warnings"] == ["the replica holds no filing: every name is blocked"]
