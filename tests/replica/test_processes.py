"""Several processes on one replica: commits are seen at once, and a kill loses nothing."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gate.filings import Change, Filing, Override, OverrideKind, Status
from gate.replica import Replica, digest, verify
from tests.replica import child

pytestmark = pytest.mark.programs

PATIENCE = 60.0


@contextmanager
def process(task: str, path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A child at `task`; whatever happens, it is gone afterwards."""
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.replica.child", task, str(path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate(timeout=PATIENCE)


def said(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line.endswith("\n"), "the child ended"
    return line.strip()


def killed_at_a_random_moment(
    task: str, path: Path, rng: random.Random, *, lines: int, seconds: float
) -> int:
    """Let a child work, kill it between any two instructions; returns what it said last."""
    with process(task, path) as running:
        last = 0
        for _ in range(rng.randint(0, lines)):
            last = int(said(running))
        time.sleep(rng.uniform(0, seconds))  # the moment itself: no condition to wait for
        running.kill()
        rest, _ = running.communicate(timeout=PATIENCE)
        whole = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        return int(whole[-1]) if whole else last


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replica"


@pytest.mark.long
def test_kill_9_between_and_within_batches_loses_no_acknowledged_one(path: Path) -> None:
    rng = random.Random(9)
    acknowledged = 0
    with Replica.open(path, writable=True) as replica:
        replica.load([], epoch="e", revision=0)
    for _ in range(15):
        last = killed_at_a_random_moment("batches", path, rng, lines=20, seconds=0.3)
        acknowledged = max(acknowledged, last)
        verify(path)
        with Replica.open(path, writable=False) as replica:
            position = replica.position()
            assert position is not None
            # The one in flight may be there, too; but never a part of it.
            assert acknowledged <= position.revision <= acknowledged + 1
            acknowledged = position.revision
            expected = [] if position.revision == 0 else child.batch(position.revision)
            assert {item.domain: item.licence for item in replica.items()} == {
                change.domain: change.licence for change in expected
            }
            assert replica.count() == len(expected)
    assert acknowledged > 15


@pytest.mark.long
def test_kill_9_in_a_bulk_load_leaves_the_old_set_or_the_new_one(path: Path) -> None:
    rng = random.Random(10)
    acknowledged = 0
    with Replica.open(path, writable=True) as replica:
        replica.load([], epoch="e", revision=0)
    for _ in range(5):
        last = killed_at_a_random_moment("loads", path, rng, lines=2, seconds=1.0)
        acknowledged = max(acknowledged, last)
        verify(path)
        with Replica.open(path, writable=False) as replica:
            position = replica.position()
            assert position is not None
            assert acknowledged <= position.revision <= acknowledged + 1
            acknowledged = position.revision
            if position.revision:
                assert replica.digest() == digest(child.loaded_set(position.revision))
                assert replica.count() == child.SET
    assert acknowledged > 2


def test_other_processes_see_a_commit_at_once(path: Path) -> None:
    with Replica.open(path, writable=True) as replica:
        replica.load([Filing("old.com", Status.FILED)], epoch="e", revision=0)
        with process("reads", path) as one, process("reads", path) as two:
            readers = (one, two)
            for reader in readers:
                assert said(reader) == "ready"

            def ask(name: str) -> list[str]:
                for reader in readers:
                    assert reader.stdin is not None
                    reader.stdin.write(name + "\n")
                    reader.stdin.flush()
                return [said(reader) for reader in readers]

            for revision in range(300):
                status = Status.ABSENT if revision % 2 else Status.FILED
                replica.apply(
                    [Change("a.com", status)],
                    epoch="e",
                    from_revision=revision,
                    to_revision=revision + 1,
                )
                expected = "a.com revoked" if revision % 2 else "a.com filed"
                assert ask("www.a.com") == [expected, expected]
            # A name with more labels than any before, a switch of sets, a map that grew.
            replica.apply(
                [Change("e.d.c.b.org", Status.FILED)],
                epoch="e",
                from_revision=300,
                to_revision=301,
            )
            assert ask("x.e.d.c.b.org") == ["e.d.c.b.org filed"] * 2
            replica.load([Filing("new.com", Status.FILED)], epoch="f", revision=1)
            assert ask("new.com") == ["new.com filed"] * 2
            assert ask("old.com") == ["old.com revoked"] * 2


def test_readers_follow_a_map_that_another_process_grew(path: Path) -> None:
    with Replica.open(path, writable=True, map_size=1 << 18) as replica:
        replica.load([Filing("old.com", Status.FILED)], epoch="e", revision=0)
        with process("reads", path) as reader:
            assert said(reader) == "ready"
            replica.load(child.loaded_set(0), epoch="e", revision=1)
            assert reader.stdin is not None
            reader.stdin.write("www.n000000.com\n")
            reader.stdin.flush()
            assert said(reader) == "n000000.com filed"


@pytest.mark.long
def test_a_killed_reader_holds_no_pages_back(path: Path) -> None:
    with Replica.open(path, writable=True) as replica:
        replica.load(child.loaded_set(0), epoch="e", revision=0)
        with process("holds", path) as reader:
            assert said(reader) == "n000000.com"
            reader.kill()
            reader.communicate(timeout=PATIENCE)
        sizes = []
        for revision in range(1, 9):
            replica.load(child.loaded_set(revision), epoch="e", revision=revision)
            sizes.append(replica.info().file_bytes)
        assert sizes[-1] == sizes[3]


def test_overrides_reach_other_processes_with_their_commit(path: Path) -> None:
    with Replica.open(path, writable=True) as replica:
        replica.load([], epoch="e", revision=0)
        replica.set_override(Override("a.com", OverrideKind.EXEMPT, 2e9, "", "", 0))
    with process("overrides", path) as reader:

        def ask() -> str:
            assert reader.stdin is not None
            reader.stdin.write("\n")
            reader.stdin.flush()
            return said(reader)

        assert ask() == "a.com"
        with Replica.open(path, writable=True) as replica:
            replica.set_override(Override("b.com", OverrideKind.SUSPENDED, None, "", "", 0))
            assert ask() == "a.com b.com"
            replica.remove_override("a.com")
            assert ask() == "b.com"


def test_a_write_that_the_file_system_refuses_loses_nothing(path: Path) -> None:
    with process("fills", path, str(1 << 20)) as running:
        words = said(running).split(" ", 2)
    assert words[0] == "full"
    revision = int(words[1])
    assert "cannot write the replica at" in words[2]
    assert "nothing was changed" in words[2]
    verify(path)
    with Replica.open(path, writable=True) as replica:
        position = replica.position()
        assert position is not None
        assert position.revision == revision
        assert replica.count() == revision * child.BATCH
        replica.apply(
            [Change("more.com", Status.FILED)],
            epoch="e",
            from_revision=revision,
            to_revision=revision + 1,
        )
        assert replica.lookup("more.com") is not None
