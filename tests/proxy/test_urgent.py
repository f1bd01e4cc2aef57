"""TCP's urgent data: one byte that is left out, and nothing that stalls, splits or spins for it."""

from __future__ import annotations

import socket

import pytest

from gate.proxy.flow import Flow, Progress
from tests.harness.hello import real_hello
from tests.proxy.running import Reader, Running, accepted, answer, push

BULK = 4 << 20
BEFORE, BEHIND = b"a" * (1 << 17), b"z" * 100


def send_all(running: Running, sock: socket.socket, data: bytes, reader: Reader) -> None:
    """Send without waiting for the plane, which runs in this thread, too."""
    left = memoryview(data)
    while left:
        left = left[push(sock, bytes(left[: 1 << 16])) :]
        reader()
        running.until(lambda: True)


def send_urgent(sock: socket.socket) -> bytes:
    """Send bytes with an urgent one among them, at once; those that are to arrive."""
    sent = [sock.send(BEFORE), sock.send(b"!", socket.MSG_OOB), sock.send(BEHIND)]
    assert sent == [len(BEFORE), 1, len(BEHIND)]
    return BEFORE + BEHIND


@pytest.mark.parametrize("size", [0, BULK], ids=["small", "bulk"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_tunnel_goes_on_behind_urgent_data_and_passes_the_end_on(
    running: Running, upstream: socket.socket, size: int, way: str
) -> None:
    hello = real_hello("example.cn")
    with running.client(1) as client:
        client.send(hello)
        with accepted(running, upstream) as origin:
            got = Reader(origin)
            assert running.until(lambda: got().data == hello)
            answer(running, client, origin)
            sender = client if way == "up" else origin
            got = Reader(origin if way == "up" else client)
            send_all(running, sender, bytes(size), got)
            assert running.until(lambda: len(got().data) == size)
            want = send_urgent(sender)
            assert running.until(lambda: got().data[size:] == want), "what is behind it waits"
            want += send_urgent(sender)
            sender.shutdown(socket.SHUT_WR)
            assert running.until(lambda: got().end == "fin"), "the end was lost"
            assert got.data[size:] == want


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_bulk_body_goes_on_behind_urgent_data(
    running: Running, upstream: socket.socket, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Flow.pump
    dry = 0

    def pump(self: Flow, buffer: memoryview) -> Progress:
        nonlocal dry
        moved = self.moved
        progress = real(self, buffer)
        dry += progress is Progress.STARVED and self.moved == moved
        return progress

    size = BULK + len(BEFORE + BEHIND)
    length = b"Content-Length: %d\r\n\r\n" % size
    with running.client() as client:
        if way == "up":
            client.send(b"POST / HTTP/1.1\r\nHost: example.cn\r\n" + length)
        else:
            client.send(b"GET / HTTP/1.1\r\nHost: example.cn\r\n\r\n")
        with accepted(running, upstream) as origin:
            asked, got = Reader(origin), Reader(client)
            assert running.until(lambda: asked().data.endswith(b"\r\n\r\n"))
            if way == "down":
                origin.send(b"HTTP/1.1 200 OK\r\n" + length)
            sender, reader = (client, asked) if way == "up" else (origin, got)
            send_all(running, sender, bytes(BULK), reader)
            assert running.until(lambda: reader().data.count(0) == BULK)
            monkeypatch.setattr(Flow, "pump", pump)
            want = send_urgent(sender)
            assert running.until(lambda: reader().data.endswith(want)), "what is behind it waits"
            assert dry < 10, "it was asked again and again in vain"
