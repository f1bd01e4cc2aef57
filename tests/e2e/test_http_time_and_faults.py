"""Rows of enforcement.md, HTTP: time limits, and an upstream that fails."""

from __future__ import annotations

import threading

import pytest

from tests.harness import filings
from tests.harness.client import get, request
from tests.harness.hello import real_hello
from tests.harness.http_origin import Exchange
from tests.harness.recorder import Arrival
from tests.harness.stage import Stage
from tests.harness.stream import Closed
from tests.harness.waiting import wait_for


def test_head_that_is_not_complete_in_time_is_408(impatient_stage: Stage, path: str) -> None:
    stage = impatient_stage
    before = stage.gate.decisions(reason="timeout")
    with stage.http() as client:
        client.send(get("filed.com", path)[:-2])
        assert client.read_response().status == 408
        client.expect_closed()
    assert stage.gate.decisions(reason="timeout") == before + 1
    assert stage.origin.about(path) == []


def test_drip_of_header_bytes_does_not_extend_the_time(impatient_stage: Stage, path: str) -> None:
    with impatient_stage.http(seconds=0.1) as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: filed.com\r\n".encode())
        for _ in range(60):
            try:
                client.send(b"X: y\r\n")
                client.fill()
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
            break
        assert client.read_response().status == 408


def test_silent_kept_alive_connection_is_closed(impatient_stage: Stage, path: str) -> None:
    with impatient_stage.http() as client:
        assert client.ask(get("filed.com", path)).status == 200
        client.expect_closed()


def test_request_body_that_stalls_is_ended(impatient_stage: Stage, path: str) -> None:
    with impatient_stage.http() as client:
        client.send(request("POST", "filed.com", path, "Content-Length: 10", body=b"abc"))
        responses = client.read_all_responses()
    assert [response.status for response in responses] in ([], [408])
    wait_for(lambda: len(impatient_stage.origin.about(path)) == 1, "the request at the origin")
    assert not impatient_stage.origin.about(path)[0].complete


def test_request_body_that_is_cut_never_looks_complete(stage: Stage, path: str) -> None:
    with stage.http() as client:
        client.send(request("POST", "filed.com", path, "Content-Length: 10", body=b"abc"))
        wait_for(lambda: bool(stage.origin.about(path)), "the request at the origin")
    (seen,) = stage.origin.about(path)
    assert stage.origin.arrivals[seen.connection].ended.wait(10)
    assert not seen.complete


def test_chunked_request_body_that_is_cut_never_looks_complete(stage: Stage, path: str) -> None:
    with stage.http() as client:
        client.send(
            request("POST", "filed.com", path, "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n")
        )
        wait_for(lambda: bool(stage.origin.about(path)), "the request at the origin")
    (seen,) = stage.origin.about(path)
    assert stage.origin.arrivals[seen.connection].ended.wait(10)
    assert not seen.complete


def test_upstream_that_refuses_is_502(stage: Stage, path: str) -> None:
    with stage.http() as client:
        assert client.ask(get(filings.TO_REFUSED, path)).status == 502


def test_upstream_that_cannot_be_reached_in_time_is_504(stage: Stage, path: str) -> None:
    with stage.http() as client:
        assert client.ask(get(filings.TO_BLACKHOLE, path)).status == 504


def test_upstream_that_does_not_answer_in_time_is_504(impatient_stage: Stage, path: str) -> None:
    with impatient_stage.http() as client:
        assert client.ask(get(filings.TO_SILENT, path)).status == 504


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_upstream_that_closes_before_it_answers_is_502(
    stage: Stage, path: str, method: str
) -> None:
    stage.origin.on(path, Exchange.hang_up)
    body = b"abc" if method == "POST" else b""
    head = request(method, "filed.com", path, f"Content-Length: {len(body)}", body=body)
    assert stage.ask(head, method).status == 502


def test_upstream_that_resets_before_it_answers_is_502(stage: Stage, path: str) -> None:
    stage.origin.on(path, lambda exchange: exchange.arrival.reset())
    assert stage.ask(get("filed.com", path)).status == 502


def test_an_origin_that_takes_the_request_and_breaks_is_counted_and_rests(
    stage: Stage, path: str
) -> None:
    stage.origin.on(path, Exchange.hang_up)
    address = stage.origin.address
    before = stage.gate.total("gate_upstream_failures_total", address=address)
    # Several at once, so that not all of them find a kept connection.
    clients = [stage.http() for _ in range(40)]
    for client in clients:
        client.send(request("POST", "filed.com", path, "Content-Length: 3", body=b"abc"))
    assert {client.read_response("POST").status for client in clients} == {502}
    assert stage.gate.total("gate_upstream_failures_total", address=address) == before + 40
    assert stage.gate.total("gate_upstream_resting", address=address) > 0
    for client in clients:
        client.close()


def test_a_tls_origin_that_breaks_before_it_answers_is_counted(stage: Stage) -> None:
    def leave(arrival: Arrival) -> None:
        arrival.read_some()
        arrival.reset()

    handler, stage.raw.handler = stage.raw.handler, leave
    try:
        before = stage.gate.total("gate_upstream_failures_total", address=stage.raw.address)
        with stage.tls() as client:
            client.send(real_hello(filings.TO_RAW))
            client.expect_reset()
        after = stage.gate.total("gate_upstream_failures_total", address=stage.raw.address)
    finally:
        stage.raw.handler = handler
    assert after == before + 1


def test_a_failed_post_is_not_sent_twice(stage: Stage, path: str) -> None:
    stage.origin.on(path, Exchange.hang_up)
    for _ in range(3):
        assert stage.ask(get("filed.com", fresh := f"{path}warm")).status == 200, fresh
        stage.ask(request("POST", "filed.com", path, "Content-Length: 3", body=b"abc"), "POST")
    assert len([seen for seen in stage.origin.about(path) if seen.method == "POST"]) == 3


OK = b"HTTP/1.1 200 OK\r\n"
GARBAGE = {
    "not-http": b"hello there\r\n\r\n",
    "both-framings": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "both-framings-in-http-1-0": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "control-byte-in-a-length": OK + b"Content-Length: 1\x00\r\n\r\na",
    "control-byte-in-a-coding": OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "unknown-coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "nul-in-name": OK + b"X\x00: a\r\nContent-Length: 0\r\n\r\n",
    "bad-status": b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
    "unasked-switch": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "http-2": b"HTTP/2 200\r\n\r\n",
    "huge-head": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE.keys())
def test_upstream_that_answers_garbage_is_502(stage: Stage, path: str, answer: bytes) -> None:
    def reply(exchange: Exchange) -> None:
        exchange.send(answer)
        exchange.hang_up()

    stage.origin.on(path, reply)
    assert stage.ask(get("filed.com", path)).status == 502


CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nonly this",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
    "inside-a-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nonly this",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\nzz\r\n",
}


@pytest.mark.parametrize("answer", CUT.values(), ids=CUT.keys())
def test_client_sees_that_the_response_was_cut(stage: Stage, path: str, answer: bytes) -> None:
    """Once the head is out there is no 502 any more; the origin breaks only after it is seen."""
    head_seen = threading.Event()

    def reply(exchange: Exchange) -> None:
        head, end, body = answer.partition(b"\r\n\r\n")
        exchange.send(head + end)
        assert head_seen.wait(10)
        exchange.send(body)
        exchange.hang_up()

    stage.origin.on(path, reply)
    with stage.http() as client:
        client.send(get("filed.com", path))
        client.read_until(b"\r\n\r\n")
        head_seen.set()
        with pytest.raises((Closed, ConnectionResetError)):
            client.read_exact(1 << 20)
        assert b"0\r\n\r\n" not in client.received


def test_close_delimited_response_that_is_reset_is_cut(stage: Stage, path: str) -> None:
    half_way = threading.Event()

    def reply(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nonly this")
        assert half_way.wait(10)
        exchange.arrival.reset()

    stage.origin.on(path, reply)
    with stage.http() as client:
        client.send(get("filed.com", path))
        _, fields, _ = client.read_head()
        client.read_some()
        half_way.set()
        # A FIN would say "complete" unless the gate had chunked the body.
        chunked = dict(fields).get("transfer-encoding") == "chunked"
        with pytest.raises(Closed if chunked else ConnectionResetError):
            client.fill()
        assert b"0\r\n\r\n" not in client.received


def test_response_that_stalls_in_its_body_is_cut(impatient_stage: Stage, path: str) -> None:
    def reply(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        exchange.read_body()
        exchange.arrival.fill()

    impatient_stage.origin.on(path, reply)
    with impatient_stage.http() as client:
        client.send(get("filed.com", path))
        with pytest.raises((Closed, ConnectionResetError)):
            client.read_response()


def test_extra_bytes_behind_a_response_are_not_the_next_response(stage: Stage, path: str) -> None:
    def reply(exchange: Exchange) -> None:
        exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"
        )

    stage.origin.on(path, reply)
    with stage.http() as client:
        assert client.ask(get("filed.com", path)).body == b"ok"
        for number in range(5):
            assert b"poisoned" not in client.ask(get("filed.com", f"{path}{number}")).body


def test_gate_serves_on_after_all_this(stage: Stage, path: str) -> None:
    assert stage.ask(get("filed.com", path)).status == 200
