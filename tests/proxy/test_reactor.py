"""The reactor inside asyncio's loop: readiness, retirement of descriptors, deadlines."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from gate.proxy.reactor import IN, TICK_SECONDS, ReactorLoop, new_event_loop


@pytest.fixture
def loop() -> Iterator[ReactorLoop]:
    loop = new_event_loop()
    yield loop
    loop.close()


def pair() -> tuple[socket.SocketType, socket.SocketType]:
    one, other = socket.socketpair()
    one.setblocking(False)
    return (
        socket.SocketType(one.family, one.type, 0, one.detach()),
        socket.SocketType(other.family, other.type, 0, other.detach()),
    )


class Timed:
    """Records when it is looked at, and asks for the next look by a list."""

    def __init__(self, answers: list[float]) -> None:
        self.bucket = 0
        self.answers = answers
        self.looks: list[float] = []
        self.aborted = False

    def check(self, now: float) -> float:
        self.looks.append(now)
        answer = self.answers.pop(0) if self.answers else 0.0
        return now + answer if answer else 0.0

    def abort(self) -> None:
        self.aborted = True


def test_a_watched_descriptor_is_handled_without_an_asyncio_event(loop: ReactorLoop) -> None:
    one, other = pair()
    got: list[bytes] = []

    def handle(_events: int) -> None:
        got.append(one.recv(100))
        loop.stop()

    loop.reactor.watch(one.fileno(), IN, handle)
    other.send(b"hello")
    loop.run_forever()
    assert got == [b"hello"]
    loop.reactor.retire(one)
    other.close()


def test_asyncio_works_beside_the_data_plane(loop: ReactorLoop) -> None:
    one, other = pair()
    count = 0

    def handle(_events: int) -> None:
        nonlocal count
        one.recv(100)
        count += 1
        if count < 1000:
            other.send(b"x")  # busy: the next event is there at once

    async def main() -> str:
        loop.reactor.watch(one.fileno(), IN, handle)
        other.send(b"x")
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"ping\n")
        line = await reader.readline()
        writer.close()
        server.close()
        while count < 1000:  # noqa: ASYNC110 - the handler cannot await
            await asyncio.sleep(0.001)
        return line.decode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    assert loop.run_until_complete(asyncio.wait_for(main(), 20)) == "ping\n"
    loop.reactor.retire(one)
    other.close()


def test_what_a_handler_asks_of_asyncio_is_done_although_events_never_cease(
    loop: ReactorLoop,
) -> None:
    one, other = pair()

    def handle(_events: int) -> None:
        one.recv(100)
        other.send(b"x")  # ready again for ever
        if not asked.done():
            loop.call_soon(lambda: None if asked.done() else asked.set_result(None))

    asked: asyncio.Future[None] = loop.create_future()
    loop.reactor.watch(one.fileno(), IN, handle)
    other.send(b"x")
    loop.run_until_complete(asyncio.wait_for(asked, 20))
    loop.reactor.retire(one)
    other.close()


def test_a_retired_descriptor_is_not_reused_within_the_batch(loop: ReactorLoop) -> None:
    """Both sockets are ready in one batch; the one handler retires the other's socket."""
    first, first_peer = pair()
    second, second_peer = pair()
    number = second.fileno()
    fresh: list[socket.SocketType] = []
    strays: list[int] = []

    def end_the_other(_events: int) -> None:
        loop.reactor.unwatch(first.fileno())
        loop.reactor.retire(second)
        fresh.extend(pair())  # would get the retired number if that were free
        for sock in fresh:
            loop.reactor.watch(sock.fileno(), IN, strays.append)
        loop.call_soon(loop.stop)

    loop.reactor.watch(first.fileno(), IN, end_the_other)
    loop.reactor.watch(second.fileno(), IN, strays.append)
    first_peer.send(b"x")  # epoll reports in the order in which they became ready
    second_peer.send(b"x")
    loop.run_forever()
    assert [sock.fileno() for sock in fresh if sock.fileno() == number] == []
    assert second.fileno() == -1, "the retired socket was never closed"
    assert strays == []
    loop.reactor.retire(first)
    for sock in (first_peer, second_peer, *fresh):
        sock.close()


def test_a_handler_that_fails_ends_its_own_connection_only(
    loop: ReactorLoop, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = pair()

    class Broken(Timed):
        def on_ready(self, _events: int) -> None:
            one.recv(10)
            loop.call_soon(loop.stop)
            raise RuntimeError("bug")

    broken = Broken([])
    loop.reactor.watch(one.fileno(), IN, broken.on_ready)
    other.send(b"x")
    loop.run_forever()
    assert broken.aborted
    assert loop.reactor.failures == 1
    assert "bug" in caplog.text
    loop.reactor.retire(one)
    other.close()


def test_deadlines_never_come_early_and_come_again_when_asked(loop: ReactorLoop) -> None:
    timed = Timed([0.3, 0.3, 0.0])
    began = time.monotonic()
    loop.reactor.schedule(timed, began + 0.3)

    async def until_done() -> None:
        while len(timed.looks) < 3:  # noqa: ASYNC110 - the wheel calls no coroutine
            await asyncio.sleep(0.05)

    loop.run_until_complete(asyncio.wait_for(until_done(), 20))
    loop.run_until_complete(asyncio.sleep(3 * TICK_SECONDS))
    assert len(timed.looks) == 3, "an answer of zero means never again"
    for number, look in enumerate(timed.looks, start=1):
        assert look - began >= 0.3 * number


def test_what_is_unscheduled_is_not_looked_at(loop: ReactorLoop) -> None:
    timed, other = Timed([]), Timed([])
    now = time.monotonic()
    loop.reactor.schedule(timed, now + 0.1)
    loop.reactor.schedule(other, now + 0.1)
    loop.reactor.unschedule(timed)
    loop.call_later(0.9, loop.stop)
    loop.run_forever()
    assert timed.looks == []
    assert len(other.looks) == 1


def test_a_clock_that_jumps_looks_at_everything_that_is_due(loop: ReactorLoop) -> None:
    timed = [Timed([]) for _ in range(5)]
    now = time.monotonic()
    for number, one in enumerate(timed):
        loop.reactor.schedule(one, now + number)  # spread over buckets
    loop.reactor._last_tick -= 10**6  # as after a long suspend
    loop.reactor.schedule(Timed([]), now - 100)
    loop.call_later(0.6, loop.stop)
    loop.run_forever()
    assert len(timed[0].looks) == 1
    assert timed[4].looks == []
