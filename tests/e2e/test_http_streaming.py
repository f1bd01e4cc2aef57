"""Bodies are streamed both ways, unbuffered; 100-continue, WebSocket and long polling work."""

from __future__ import annotations

import hashlib
import random
import threading
import time

from tests.harness.client import get, request
from tests.harness.http_origin import Exchange
from tests.harness.stage import Stage
from tests.harness.stream import Closed
from tests.harness.waiting import wait_for

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def accept_upgrade(exchange: Exchange) -> None:
    """Switch protocols, then echo until the client's FIN, answered by b"<bye>"."""
    exchange.send(SWITCHED)
    while True:
        try:
            data = exchange.arrival.read_some()
        except Closed:
            exchange.send(b"<bye>")
            exchange.hang_up()
        exchange.send(data)


def test_response_chunks_come_as_the_origin_sends_them(stage: Stage, path: str) -> None:
    go_on = threading.Semaphore(0)

    def drip(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            assert go_on.acquire(timeout=10)
            exchange.send(b"4\r\n%04d\r\n" % number)
        assert go_on.acquire(timeout=10)
        exchange.send(b"0\r\n\r\n")

    stage.origin.on(path, drip)
    with stage.http() as client:
        client.send(get("filed.com", path))
        assert client.read_head()[0] == 200
        for number in range(5):
            go_on.release()  # the next piece exists only once the last one has been seen
            assert client.read_chunk() == b"%04d" % number
        go_on.release()
        assert client.read_chunk() == b""


def test_response_with_a_length_comes_as_the_origin_sends_it(stage: Stage, path: str) -> None:
    go_on = threading.Semaphore(0)

    def drip(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        for number in range(5):
            assert go_on.acquire(timeout=10)
            exchange.send(b"%d" % number)

    stage.origin.on(path, drip)
    with stage.http() as client:
        client.send(get("filed.com", path))
        client.read_head()
        for number in range(5):
            go_on.release()
            assert client.read_exact(1) == b"%d" % number


def test_request_chunks_reach_the_origin_as_the_client_sends_them(stage: Stage, path: str) -> None:
    pieces: list[bytes] = []

    def collect(exchange: Exchange) -> None:
        while piece := exchange.read_piece():
            pieces.append(piece)
        exchange.answer("200 OK", b"".join(pieces))

    stage.origin.on(path, collect)
    with stage.http() as client:
        client.send(request("POST", "filed.com", path, "Transfer-Encoding: chunked"))
        for number in range(5):
            client.send(b"4\r\n%04d\r\n" % number)
            wait_for(lambda: len(pieces) == number + 1, f"chunk {number} at the origin")  # noqa: B023
        client.send(b"0\r\n\r\n")
        assert client.read_response().body == b"00000001000200030004"


def test_request_with_a_length_reaches_the_origin_as_it_is_sent(stage: Stage, path: str) -> None:
    pieces: list[bytes] = []

    def collect(exchange: Exchange) -> None:
        while piece := exchange.read_piece():
            pieces.append(piece)
        exchange.answer("200 OK", b"".join(pieces))

    stage.origin.on(path, collect)
    with stage.http() as client:
        client.send(request("POST", "filed.com", path, "Content-Length: 5"))
        for number in range(5):
            client.send(b"%d" % number)
            wait_for(lambda: len(b"".join(pieces)) == number + 1, "the byte")  # noqa: B023
        assert client.read_response().body == b"01234"


def test_bodies_flow_both_ways_at_once(stage: Stage, path: str) -> None:
    def parrot(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while piece := exchange.read_piece():
            exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        exchange.send(b"0\r\n\r\n")

    stage.origin.on(path, parrot)
    with stage.http() as client:
        client.send(request("POST", "filed.com", path, "Transfer-Encoding: chunked"))
        client.send(b"1\r\n-\r\n")
        client.read_head()
        assert client.read_chunk() == b"-"
        for number in range(5):
            client.send(b"4\r\n%04d\r\n" % number)
            assert client.read_chunk() == b"%04d" % number
        client.send(b"0\r\n\r\n")
        assert client.read_chunk() == b""


def test_large_bodies_arrive_intact(stage: Stage, path: str) -> None:
    data = random.Random(7).randbytes(16 << 20)
    digests: list[str] = []

    def swap(exchange: Exchange) -> None:
        digests.append(hashlib.sha256(exchange.read_body()).hexdigest())
        exchange.answer("200 OK", data[::-1])

    stage.origin.on(path, swap)
    with stage.http() as client:
        head = request("PUT", "filed.com", path, f"Content-Length: {len(data)}")
        response = client.ask(head + data, "PUT")
    assert digests == [hashlib.sha256(data).hexdigest()]
    assert response.body == data[::-1]


def test_large_chunked_bodies_arrive_intact(stage: Stage, path: str) -> None:
    rng = random.Random(8)
    pieces = [rng.randbytes(rng.choice((1, 2, 100, 4095, 70_000, 300_000))) for _ in range(60)]
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    whole = b"".join(pieces)

    def swap(exchange: Exchange) -> None:
        assert exchange.read_body() == whole
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked)

    stage.origin.on(path, swap)
    with stage.http() as client:
        head = request("PUT", "filed.com", path, "Transfer-Encoding: chunked")
        assert client.ask(head + chunked, "PUT").body == whole
        assert client.ask(get("filed.com", path + "after")).status == 200


def test_expect_100_continue(stage: Stage, path: str) -> None:
    head = request("POST", "filed.com", path, "Content-Length: 5", "Expect: 100-continue")
    with stage.http() as client:
        client.send(head)
        assert client.read_response().status == 100
        client.send(b"hello")
        response = client.read_response()
        assert response.status == 200
    (seen,) = stage.origin.about(path)
    assert bytes(seen.body) == b"hello"


def test_expect_100_continue_from_a_client_that_does_not_wait(stage: Stage, path: str) -> None:
    head = request("POST", "filed.com", path, "Content-Length: 5", "Expect: 100-continue")
    with stage.http() as client:
        client.send(head + b"hello" + get("filed.com", path + "next"))
        response = client.read_response()
        if response.status == 100:
            response = client.read_response()
        assert response.status == 200
        assert client.read_response().body.endswith(b"next")


def test_expect_100_continue_of_an_unfiled_host_gets_no_100(stage: Stage, path: str) -> None:
    head = request("POST", "unfiled.com", path, "Content-Length: 5", "Expect: 100-continue")
    with stage.http() as client:
        assert client.ask(head, "POST").status == 302
        client.expect_closed()
    assert stage.origin.about(path) == []


def test_unknown_expectation_is_for_the_origin_to_answer(stage: Stage, path: str) -> None:
    # RFC 9110 10.1.1: whoever cannot meet it may answer 417; the gate cannot know.
    stage.origin.on(path, lambda exchange: exchange.answer("417 Expectation Failed", b""))
    with stage.http() as client:
        assert client.ask(get("filed.com", path, "Expect: miracles")).status == 417
        assert client.ask(get("filed.com", path + "on", "Expect: miracles")).status == 200
    assert [seen.value("expect") for seen in stage.origin.about(path)] == ["miracles"] * 2


def test_websocket_upgrade_echoes_both_ways(stage: Stage, path: str) -> None:
    stage.origin.on(path, accept_upgrade)
    with stage.http() as client:
        client.send(get("filed.com", path, *UPGRADE))
        status, fields, _ = client.read_head()
        assert status == 101
        assert dict(fields)["upgrade"].lower() == "websocket"
        assert "upgrade" in dict(fields)["connection"].lower()
        for message in (b"\x81\x05hello", b"\x00" * 1000, b"x" * 200_000):
            client.send(message)
            assert client.read_exact(len(message)) == message
        client.finish()
        assert client.read_to_end() == b"<bye>"
    (seen,) = stage.origin.about(path)
    assert (seen.value("upgrade") or "").lower() == "websocket"
    assert (seen.value("connection") or "").lower() == "upgrade"


def test_silent_websocket_is_ended_at_its_limit(impatient_stage: Stage, path: str) -> None:
    impatient_stage.origin.on(path, accept_upgrade)
    with impatient_stage.http() as client:
        client.send(get("filed.com", path, *UPGRADE))
        assert client.read_head()[0] == 101
        client.expect_closed()


def test_bytes_sent_right_behind_the_upgrade_request_arrive(stage: Stage, path: str) -> None:
    stage.origin.on(path, accept_upgrade)
    with stage.http() as client:
        client.send(get("filed.com", path, *UPGRADE) + b"\x81\x02hi")
        assert client.read_head()[0] == 101
        assert client.read_exact(4) == b"\x81\x02hi"


def test_refused_upgrade_leaves_plain_http(stage: Stage, path: str) -> None:
    with stage.http() as client:
        assert client.ask(get("filed.com", path, *UPGRADE)).status == 200
        assert client.ask(get("filed.com", path + "after")).status == 200


def test_long_polling(stage: Stage, path: str) -> None:
    event = threading.Event()

    def wait(exchange: Exchange) -> None:
        assert event.wait(10)
        exchange.answer("200 OK", b"news")

    stage.origin.on(path, wait)
    with stage.http() as client:
        client.send(get("filed.com", path))
        client.expect_silence(0.5)
        event.set()
        assert client.read_response().body == b"news"


def test_client_that_leaves_ends_the_upstream_exchange(stage: Stage, path: str) -> None:
    gone = threading.Event()

    def drip(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                exchange.send(b"1\r\nx\r\n")
                time.sleep(0.01)  # an event stream: it goes on for as long as it is taken
        except OSError:
            gone.set()
            raise

    stage.origin.on(path, drip)
    with stage.http() as client:
        client.send(get("filed.com", path))
        client.read_head()
    assert gone.wait(10), "the upstream connection outlived its client"
