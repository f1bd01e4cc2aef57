"""Rows of enforcement.md, HTTP: what old origins send, and the clean response that comes of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from tests.harness.client import Response, get, request
from tests.harness.http_origin import Exchange
from tests.harness.stage import Stage


@dataclass(slots=True, frozen=True)
class Old:
    """An origin's answer, and what the client is to make of it."""

    sent: bytes
    body: bytes = b"hello"
    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    """Fields that the client gets, with these values and no others."""
    method: str = "GET"
    kept: bool = True
    """Whether the client's connection can go on: the gate knows where the body ends."""


BOTH = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "lf-line-ends": Old(
        b"HTTP/1.1 200 OK\nX-A: b\nContent-Length: 5\n\nhello", fields=(("x-a", "b"),)
    ),
    "lf-and-crlf-mixed": Old(
        b"HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 5\r\n\nhello", fields=(("x-a", "b"),)
    ),
    "lf-line-ends-and-an-empty-line-in-the-body": Old(
        b"HTTP/1.1 200 OK\nContent-Length: 8\n\n\r\n\r\n\n\nok", b"\r\n\r\n\n\nok"
    ),
    "cgi-with-lf-until-it-closes": Old(b"HTTP/1.0 200 OK\n\nhello", kept=False),
    "control-bytes-in-values": Old(
        b"HTTP/1.1 200 OK\r\nX-A: a\x00b\x01c\r\nX-B: d\re\x7ff\r\nContent-Length: 5\r\n\r\nhello",
        fields=(("x-a", "a b c"), ("x-b", "d e f")),
    ),
    "a-cr-makes-no-other-field": Old(
        b"HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: b\r\nContent-Length: 5\r\n\r\nhello",
        fields=(("x-a", "a Set-Cookie: b"), ("set-cookie", "")),
    ),
    "spaces-before-the-status": Old(b"HTTP/1.1   200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    "http-1-2": Old(b"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    "identity": Old(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
        fields=(("transfer-encoding", ""), ("content-length", "5")),
    ),
    "identity-until-it-closes": Old(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello", kept=False
    ),
    "chunked-in-http-1-0": Old(
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    ),
    "padded-chunk-sizes": Old(CHUNKED + b"5   \r\nhello\r\n0 \t\r\n\r\n"),
    "lone-semicolons": Old(CHUNKED + b"5;\r\nhello\r\n0 ; \r\n\r\n"),
    "extensions-of-no-form": Old(CHUNKED + b'5;"\r\nhello\r\n0;a b=\r\n\r\n'),
    "lf-in-chunked-framing": Old(CHUNKED + b"5\nhello\n0\n\n"),
    "lf-after-a-chunk": Old(CHUNKED + b"2\r\nhe\n3\r\nllo\r\n0\r\n\r\n"),
    "lf-in-trailers": Old(CHUNKED + b"5\r\nhello\r\n0\nX-Sum: 1\n\n"),
    "lf-everywhere": Old(
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX-Sum: 1\n\n"
    ),
    "head-with-both-framings": Old(
        b"HTTP/1.1 200 OK\r\n" + BOTH,
        b"",
        fields=(("content-length", ""), ("transfer-encoding", "")),
        method="HEAD",
    ),
    "head-with-two-lengths": Old(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"", method="HEAD"
    ),
    "204-with-both-framings": Old(b"HTTP/1.1 204 No Content\r\n" + BOTH, b"", 204),
    "204-with-a-length": Old(
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        b"",
        204,
        fields=(("content-length", ""),),
    ),
    "204-with-a-body-all-the-same": Old(
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"", 204
    ),
    "304-with-both-framings": Old(b"HTTP/1.1 304 Not Modified\r\n" + BOTH, b"", 304),
    "103-with-both-framings": Old(
        b"HTTP/1.1 103 Early Hints\r\n"
        + BOTH
        + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    ),
}


HEAD = b"HTTP/1.1 200 OK\r\n"
REFUSED = {
    # what the origin sends, and the kind that it is counted and logged under
    "no-http": (b"SECRET there\r\n\r\n", "not_http"),
    "http-2": (b"HTTP/2 200\r\n\r\n", "not_http"),
    "no-status": (b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n", "not_http"),
    "no-colon": (HEAD + b"SECRET\r\nContent-Length: 0\r\n\r\n", "bad_field"),
    "huge-head": (HEAD + b"X: " + b"y" * 200_000 + b"\r\n\r\n", "too_large"),
    "two-lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "bad_length"),
    "no-length": (HEAD + b"Content-Length: SECRET\r\n\r\n", "bad_length"),
    "both-framings": (HEAD + BOTH, "length_and_coding"),
    "gzip": (HEAD + b"Transfer-Encoding: SECRET, chunked\r\n\r\n", "unknown_coding"),
    "chunked-twice": (HEAD + 2 * b"Transfer-Encoding: chunked\r\n" + b"\r\n", "unknown_coding"),
    "chunk-with-the-head": (CHUNKED + b"SECRET\r\n", "bad_chunk"),
    "nameless-switch": (b"HTTP/1.1 101 Switching\r\n\r\n", "bad_switch"),
    "unasked-switch": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "bad_switch"),
    "endless-interims": (b"HTTP/1.1 103 Early\r\n\r\n" * 200, "endless_interims"),
}


def refused(stage: Stage) -> dict[str, float]:
    """How many responses of the stage's origin were refused, by kind."""
    return stage.gate.by_label(
        "gate_upstream_responses_refused_total", "kind", address=stage.origin.address
    )


@pytest.mark.parametrize(("sent", "kind"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_is_502_and_counted_by_origin_and_kind(
    stage: Stage, path: str, sent: bytes, kind: str
) -> None:
    def reply(exchange: Exchange) -> None:
        exchange.send(sent)
        exchange.hang_up()

    stage.origin.on(path, reply)
    before = refused(stage)
    with stage.http() as client:
        client.send(get("filed.com", path))
        response = client.read_response()
        while response.status < 200:
            response = client.read_response()
    assert response.status == 502
    assert kind.encode() in response.body, "the site's owner is told what to look for"
    assert b"SECRET" not in response.body, "what an origin sent wrongly is not for everybody"
    assert refused(stage) == before | {kind: before.get(kind, 0) + 1}
    line = f"a response of {stage.origin.address} was refused: {kind}"
    assert line in stage.gate.log.read_text()


def test_what_is_refused_within_a_body_is_cut_and_counted(stage: Stage, path: str) -> None:
    head_seen = threading.Event()

    def reply(exchange: Exchange) -> None:
        exchange.send(CHUNKED + b"5\r\nhello\r\n")
        assert head_seen.wait(10)
        exchange.send(b"zz\r\n")
        exchange.hang_up()

    stage.origin.on(path, reply)
    before = refused(stage)
    with stage.http() as client:
        client.send(get("filed.com", path))
        client.read_until(b"hello\r\n")
        head_seen.set()
        client.expect_closed()
    assert refused(stage) == before | {"bad_chunk": before.get("bad_chunk", 0) + 1}


def test_an_origin_that_goes_on_so_is_logged_once_a_minute_for_each_kind(
    stage: Stage, path: str
) -> None:
    stage.origin.on(path, lambda exchange: exchange.send(HEAD + BOTH))
    for _ in range(5):
        assert stage.ask(get("filed.com", path)).status == 502
    line = f"a response of {stage.origin.address} was refused: length_and_coding"
    # Each of the workers says it for itself.
    assert 1 <= stage.gate.log.read_text().count(line) <= 2


def final(stage: Stage, path: str, answer: Old) -> Response:
    """The final response that a client gets, and then another one on the same connection."""
    with stage.http() as client:
        client.send(request(answer.method, "filed.com", path))
        response = client.read_response(answer.method)
        while response.status < 200:
            assert not response.all("content-length")
            response = client.read_response(answer.method)
        if not answer.kept:
            client.expect_end()
            return response
        # What the origin may have sent beyond it is nobody's answer.
        for number in range(3):
            after = client.ask(get("filed.com", f"{path}{number}"))
            assert after.body == f"origin: GET filed.com {path}{number}".encode()
    return response


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_what_an_old_origin_sends_comes_clean(stage: Stage, path: str, answer: Old) -> None:
    def reply(exchange: Exchange) -> None:
        exchange.send(answer.sent)
        if not answer.kept:
            exchange.hang_up()

    stage.origin.on(path, reply)
    response = final(stage, path, answer)
    assert (response.status, response.body) == (answer.status, answer.body)
    for name, value in answer.fields:
        assert response.all(name) == ([value] if value else [])
    assert b"\r\n" in response.head
    text = response.head.replace(b"\r\n", b"")
    assert not any(byte < 32 or byte == 127 for byte in text)
