"""What workers know of each other's QUIC connections: the page and the mailboxes."""

from __future__ import annotations

import os
import secrets
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.ipc.siblings import FlowBoard, Mailboxes, Siblings, collect, post

BOARD = FlowBoard(2)
cids = st.binary(min_size=1, max_size=20)


def packet(cid: bytes) -> bytes:
    return b"\x43" + cid + secrets.token_bytes(30)


def test_an_id_is_found_with_the_worker_that_has_it() -> None:
    board = FlowBoard(3)
    cid = secrets.token_bytes(8)
    board.add(1, cid)
    assert board.starting(packet(cid), 0) == {1}
    assert board.starting(packet(cid), 1) == set()
    assert board.starting(packet(secrets.token_bytes(8)), 0) == set()
    board.add(2, cid)
    assert board.starting(packet(cid), 0) == {1, 2}
    board.remove(1, cid)
    assert board.starting(packet(cid), 0) == {2}


@given(st.sets(cids, max_size=60), st.sets(cids, max_size=10))
def test_ids_of_any_length_are_found_and_no_others(known: set[bytes], others: set[bytes]) -> None:
    board = BOARD
    board.own(1, 0)
    for cid in known:
        board.add(1, cid)
    for cid in known | others:
        data = packet(cid)
        expected = any(data.startswith(one, 1) for one in known)
        assert board.starting(data, 0) == ({1} if expected else set())
    for cid in known:
        board.remove(1, cid)
    assert not any(board.starting(packet(cid), 0) for cid in known)


def test_a_page_that_is_full_finds_fewer_and_nothing_breaks() -> None:
    board = FlowBoard(1)
    for number in range(100_000):
        board.add(0, number.to_bytes(8, "big"))
    found = sum(
        bool(board.starting(packet(n.to_bytes(8, "big")), 9)) for n in range(0, 100_000, 97)
    )
    assert found > 500


def test_a_successor_finds_the_page_that_was_left() -> None:
    board = FlowBoard(2)
    board.add(1, b"12345678")
    board.own(0, 77)
    other = FlowBoard(2, os.dup(board.descriptor))
    assert other.owner(0) == 77
    assert other.owner(1) == 0
    assert other.starting(packet(b"12345678"), 0) == {1}
    other.own(1, 78)
    assert board.starting(packet(b"12345678"), 0) == set()
    assert board.owner(1) == 78


def test_messages_and_descriptors_come_to_the_worker_they_are_for() -> None:
    boxes = Mailboxes.make(2)
    board = FlowBoard(2)
    first, second = (Siblings(n, board, boxes.entries, boxes.outlets[n]) for n in range(2))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert first.tell(1, {"take": 5}, [theirs.fileno()])
        assert first.tell(1, {"ask": 1})
        (message, (descriptor,)), (question, none) = second.mail()
        assert (message, question, none) == ({"take": 5}, {"ask": 1}, [])
        assert list(first.mail()) == []
        with socket.socket(fileno=descriptor) as taken:
            taken.send(b"here")
            assert ours.recv(10) == b"here"


def test_a_mailbox_that_is_full_says_so() -> None:
    boxes = Mailboxes.make(1)
    told = 0
    while post(boxes.entries[0], {"ask": told}):
        told += 1
        assert told < 100_000
    assert told > 0
    assert collect(boxes.outlets[0]) == ({"ask": 0}, [])


def test_the_end_of_a_channel_is_told() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours:
        assert collect(ours) is None
        theirs.send(b"[1]")
        with pytest.raises(ValueError, match="no object"):
            collect(ours)
        theirs.close()
        with pytest.raises(EOFError):
            collect(ours)
