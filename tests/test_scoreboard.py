"""The page of numbers that the processes share."""

from __future__ import annotations

import os

import pytest

from gate.scoreboard import ELDERS, Board


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
    board = Board([])
    board.add_elder(5)
    board.add_elder(6)
    board.remove_elder(5)
    board.remove_elder(7)
    assert board.elders == {6}


def test_an_elder_that_two_reloads_replace_is_forgotten_when_it_ends() -> None:
    board = Board([])
    board.add_elder(5)
    board.add_elder(5)
    board.remove_elder(5)
    assert board.elders == set()


def test_elders_have_a_bound() -> None:
    board = Board(["worker-0"])
    for pid in range(1, ELDERS + 1):
        board.add_elder(pid)
    with pytest.raises(IndexError):
        board.add_elder(9999)
    assert board.row("worker-0").pid == 0, "the rows are not touched"
