"""What a supervisor leaves to the program that replaces it, also to one of 0.1.0."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from gate.ipc.scoreboard import Board
from gate.settings import Process, Settings
from gate.supervisor.handover import (
    VARIABLE,
    BoardCounts,
    Handover,
    SurvivingWorker,
    inherited,
)
from gate.supervisor.sockets import Ports
from gate.supervisor.upgrade import Upgrade

# A program of 0.1.0 makes its objects of what it finds, and fails with a word too many.
FIELDS_OF_0_1_0 = {"settings", "workers", "lock", "sockets", "children", "counts", "elders"}
COUNTS_OF_0_1_0 = {"born", "restarts", "reloads", "reloads_refused"}
SETTINGS = Settings(workers=3, process=Process(native="auto"))


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    numbers = [os.memfd_create(f"test-{number}") for number in range(3)]
    yield numbers
    for number in numbers:
        os.close(number)


def handover(descriptors: list[int], *, older: bool = False) -> Handover:
    lock, replaced, listener = descriptors
    counts = BoardCounts(7, {"worker-0": 2}, 3, 1, 1, 4)
    children = [SurvivingWorker(71, "worker-0", False)]
    sockets = {"listener.http": [listener]}
    return Handover({"workers": 1}, 1, lock, sockets, children, counts, replaced, older)


def left(environ: dict[str, str]) -> dict[str, Any]:
    """The document that was left."""
    with open(os.dup(int(environ[VARIABLE])), "rb") as memory:
        memory.seek(0)
        found: dict[str, Any] = json.load(memory)
    return found


def test_what_is_left_is_what_is_found(descriptors: list[int]) -> None:
    environ: dict[str, str] = {}
    given = handover(descriptors)
    given.leave(environ)
    assert all(os.get_inheritable(number) for number in descriptors)
    assert inherited(environ) == given
    assert not any(os.get_inheritable(number) for number in descriptors)


def test_a_program_of_0_1_0_is_left_no_word_that_it_does_not_know(descriptors: list[int]) -> None:
    environ: dict[str, str] = {}
    given = handover(descriptors, older=True)
    given.leave(environ)
    document = left(environ)
    assert set(document) == FIELDS_OF_0_1_0
    assert set(document["counts"]) == COUNTS_OF_0_1_0
    assert document["elders"] is None
    # It would keep what it does not know for ever, and so would its children.
    assert not os.get_inheritable(descriptors[1])
    given.take_back(environ)


def test_what_is_left_for_a_program_of_0_1_0_can_be_read_by_this_one(
    descriptors: list[int],
) -> None:
    environ: dict[str, str] = {}
    handover(descriptors, older=True).leave(environ)
    found = inherited(environ)
    assert found is not None
    assert (found.replaced, found.older) == (None, False)
    assert found.counts == BoardCounts(7, {"worker-0": 2}, 3, 1, 0, 3)


class _Program:
    """Takes what a program of 0.1.0 takes, or nothing."""

    def __init__(self, *, takes_older: bool) -> None:
        self.takes_older = takes_older
        self.rehearsed: list[Handover] = []

    def rehearse(self, given: Handover) -> str:
        self.rehearsed.append(given)
        return "" if given.older and self.takes_older else "an unexpected word"


def upgrade(program: _Program, admin: socket.socket, *, quic: bool = False) -> Upgrade:
    ports: Any = Ports({}, admin, None, admin)
    if quic:
        ports = SimpleNamespace(data={}, admin=admin, notice=None, control=admin, mail=None)
        ports.flows = object()
    stand_in: Any = SimpleNamespace(
        workers=1,
        ports=ports,
        embedded=SimpleNamespace(listener=None),
        plan=SimpleNamespace(settings=SETTINGS),
        roles=[],
        has_room=lambda _: True,
    )
    given: Any = program
    return Upgrade(given, 0, stand_in, stand_in, stand_in, Board(["worker-0"]))


def test_a_program_that_does_not_understand_is_asked_again_as_one_of_0_1_0() -> None:
    with closing(socket.socket()) as admin:
        program = _Program(takes_older=True)
        assert upgrade(program, admin).may_begin()
    first, second = program.rehearsed
    assert (first.older, second.older) == (False, True)
    # Settings that only this program has would be refused, also where they were set to a default.
    assert "process" in first.settings
    assert second.settings == {"workers": 3}


@pytest.mark.parametrize(
    ("takes_older", "quic"), [(False, False), (True, True)], ids=["broken", "with QUIC"]
)
def test_a_program_that_understands_neither_is_refused(
    takes_older: bool, quic: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """One of 0.1.0 knows no QUIC: its listeners would be lost."""
    with closing(socket.socket()) as admin:
        assert not upgrade(_Program(takes_older=takes_older), admin, quic=quic).may_begin()
    assert "upgrade refused: an unexpected word" in caplog.text
