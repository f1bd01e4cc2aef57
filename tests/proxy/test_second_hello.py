"""The tunnel before its upstream has answered, and after it has asked for a second hello."""

from __future__ import annotations

import socket

import pytest

from tests.harness.hello import real_hello, record
from tests.harness.retry import asked_again
from tests.proxy.running import Reader, Running, accepted

HELLO = real_hello("example.cn")
OTHER = real_hello("other.example.cn")
EARLY = record(b"e" * 100, kind=23)
WARNING = record(b"\x01\x70", kind=21)
ANSWER = record(b"\x02" + bytes(90))


def tunnel(running: Running, upstream: socket.socket, sent: bytes) -> tuple[Reader, Reader]:
    """A client that has sent `sent`, and its upstream that has got the hello and nothing else."""
    client = running.client(1)
    client.send(sent)
    origin = Reader(accepted(running, upstream))
    assert running.until(lambda: origin().data == HELLO)
    return Reader(client), origin


def close(*readers: Reader) -> None:
    for reader in readers:
        reader.sock.close()


@pytest.mark.parametrize("cut", [1, 5, 10, 42, 43, 60])
@pytest.mark.parametrize("warnings", [0, 2])
@pytest.mark.parametrize("answer", [ANSWER, asked_again()], ids=["answer", "retry"])
def test_an_answer_in_pieces_is_told_as_a_whole(
    running: Running, upstream: socket.socket, answer: bytes, warnings: int, cut: int
) -> None:
    client, origin = tunnel(running, upstream, HELLO + EARLY)
    said = WARNING * warnings + answer
    origin.sock.send(said[:cut])
    assert running.until(lambda: client().data == said[:cut])
    origin.sock.send(said[cut:])
    assert running.until(lambda: client().data == said)
    assert running.until(lambda: origin().data == HELLO + EARLY)
    client.sock.send(OTHER)
    if answer is ANSWER:
        assert running.until(lambda: origin().data == HELLO + EARLY + OTHER)
    else:
        assert running.until(lambda: client().end == "reset")
        assert running.until(lambda: origin().end == "reset")
        assert origin.data == HELLO + EARLY
    close(client, origin)


@pytest.mark.parametrize("said", [b"", b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03"])
def test_an_upstream_that_ends_with_too_little_is_not_asked_again(
    running: Running, upstream: socket.socket, said: bytes
) -> None:
    """What the client had sent goes on, as it would to an upstream that has answered."""
    client, origin = tunnel(running, upstream, HELLO + EARLY)
    if said:
        origin.sock.send(said)
    origin.sock.shutdown(socket.SHUT_WR)
    assert running.until(lambda: (client().data, client.end) == (said, "fin"))
    client.sock.send(b"more")
    assert running.until(lambda: origin().data == HELLO + EARLY + b"more")
    client.sock.shutdown(socket.SHUT_WR)
    assert running.until(lambda: origin().end == "fin")
    assert running.until(lambda: running.plane._plane.admission.open == 0)
    close(client, origin)


def test_the_end_of_a_client_is_passed_on_before_there_is_an_answer(
    running: Running, upstream: socket.socket
) -> None:
    client, origin = tunnel(running, upstream, HELLO)
    client.sock.shutdown(socket.SHUT_WR)
    assert running.until(lambda: origin().end == "fin")
    origin.sock.send(ANSWER)
    assert running.until(lambda: client().data == ANSWER)
    origin.sock.shutdown(socket.SHUT_WR)
    assert running.until(lambda: client().end == "fin")
    assert running.until(lambda: running.plane._plane.admission.open == 0)
    close(client, origin)


def test_the_end_of_a_client_never_overtakes_what_it_sent(
    running: Running, upstream: socket.socket
) -> None:
    client, origin = tunnel(running, upstream, HELLO + EARLY)
    client.sock.send(b"last")
    client.sock.shutdown(socket.SHUT_WR)
    assert not running.until(lambda: origin().end != "", 0.1)
    origin.sock.send(ANSWER)
    assert running.until(lambda: origin().end == "fin")
    assert origin.data == HELLO + EARLY + b"last"
    close(client, origin)


def test_a_client_that_breaks_before_there_is_an_answer_breaks_the_tunnel(
    running: Running, upstream: socket.socket
) -> None:
    client, origin = tunnel(running, upstream, HELLO)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.sock.close()
    assert running.until(lambda: origin().end == "reset")
    assert running.until(lambda: running.plane._plane.admission.open == 0)
    close(origin)


def test_what_waits_for_the_answer_all_arrives_however_much_it_is(
    running: Running, upstream: socket.socket
) -> None:
    client, origin = tunnel(running, upstream, HELLO + EARLY * 100)
    more = client.sock.send(b"x" * 200_000)
    origin.sock.send(ANSWER)
    whole = HELLO + EARLY * 100 + b"x" * more
    assert running.until(lambda: origin().data == whole)
    close(client, origin)
