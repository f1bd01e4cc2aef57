"""The page of numbers that the processes share."""

from __future__ import annotations

import os
import time

import pytest

from gate.ipc.scoreboard import MOST_REPLACED, Board, ReplacedWorkers


def in_child(action: object) -> None:
    """Runs `action` in a forked child, to its end."""
    pid = os.fork()
    if pid == 0:
        try:
            assert callable(action)
            action()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def test_what_a_child_writes_is_seen_by_its_parent() -> None:
    board = Board(["control", "worker-0"])

    def child() -> None:
        board.row("worker-0").begin(os.getpid(), restarted=True)
        board.row("worker-0").beat(serving=True)
        board.ready = True

    in_child(child)
    row = board.row("worker-0")
    assert (row.serving, row.restarts, board.ready) == (True, 1, True)
    assert row.silent_seconds < 60
    assert not board.row("control").serving


def test_a_replaced_child_writes_nothing_into_its_successors_row() -> None:
    board = Board(["worker-0"])
    row = board.row("worker-0")
    row.begin(os.getpid() + 1, restarted=False)
    row.beat(serving=True)
    assert not row.serving


def test_elders_are_kept_until_they_end() -> None:
    replaced = ReplacedWorkers()
    replaced.add(5, beats=True)
    replaced.add(6, beats=True)
    replaced.remove(5)
    replaced.remove(7)
    assert replaced.pids == {6}


def test_an_elder_that_two_reloads_replace_is_forgotten_when_it_ends() -> None:
    replaced = ReplacedWorkers()
    replaced.add(5, beats=True)
    replaced.add(5, beats=True)
    replaced.remove(5)
    assert replaced.pids == set()


def test_elders_have_a_bound() -> None:
    replaced = ReplacedWorkers()
    for pid in range(1, MOST_REPLACED + 1):
        replaced.add(pid, beats=True)
    with pytest.raises(IndexError):
        replaced.add(9999, beats=True)


def test_a_replaced_child_gives_its_signs_of_life_as_an_elder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1_000_000_000]
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock[0])
    board = Board(["worker-0"])
    row = board.row("worker-0")
    row.begin(os.getpid() + 1, restarted=False)
    board.replaced.add(os.getpid(), beats=True)
    clock[0] += 5_000_000_000
    assert board.replaced.silent_seconds(os.getpid()) == 5
    row.beat(serving=True)
    assert board.replaced.silent_seconds(os.getpid()) == 0
    assert (row.silent_seconds, row.serving) == (5, False)


def test_a_child_of_the_program_before_gives_its_signs_of_life_to_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1_000_000_000]
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock[0])
    before = Board(["worker-0"])
    before.row("worker-0").begin(os.getpid(), restarted=False)
    after = Board(["worker-0"], replaced=ReplacedWorkers(before.replaced.descriptor))
    after.replaced.add(os.getpid(), beats=True)
    clock[0] += 5_000_000_000
    before.row("worker-0").beat(serving=True)
    assert after.replaced.silent_seconds(os.getpid()) == 0
    clock[0] += 3_000_000_000
    assert after.replaced.silent_seconds(os.getpid()) == 3


def test_one_that_does_not_know_the_page_is_never_silent() -> None:
    replaced = ReplacedWorkers()
    replaced.add(5, beats=False)
    replaced.beat(5)
    assert replaced.silent_seconds(5) == replaced.silent_seconds(6) == 0
