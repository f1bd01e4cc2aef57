"""Lines are written whole, in order, and nobody waits for a reader."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gate.worker.journal import Journal


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def read_all(descriptor: int) -> bytes:
    data = b""
    while True:
        try:
            piece = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


def test_lines_come_out_in_order(pipe: tuple[int, int]) -> None:
    journal = Journal(pipe[1])
    for number in range(500):
        journal.add(b"line %d\n" % number)
    journal.flush()
    assert read_all(pipe[0]).splitlines() == [b"line %d" % number for number in range(500)]
    assert journal.dropped == 0


def test_a_reader_that_does_not_read_holds_nobody_up_and_costs_whole_lines(
    pipe: tuple[int, int],
) -> None:
    journal = Journal(pipe[1])
    line = b"x" * 999 + b"\n"
    for _ in range(1_000):
        journal.add(line)
        journal.flush()  # would wait for ever if it waited at all
    assert 0 < journal.dropped < 1_000
    got = b""
    while more := read_all(pipe[0]):
        got += more
        journal.flush()
    assert got == line * (1_000 - journal.dropped)


def test_a_reader_that_has_gone_costs_the_lines(pipe: tuple[int, int]) -> None:
    journal = Journal(pipe[1])
    os.close(pipe[0])
    journal.add(b"lost\n")
    journal.flush()
    journal.add(b"lost\n")
    journal.flush()
    assert journal.dropped <= 2
