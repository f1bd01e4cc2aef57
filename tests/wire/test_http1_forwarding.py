"""What goes on to the upstream and to the client: fields kept, dropped, merged and added."""

import pytest

from gate.wire.http1 import (
    BadMessage,
    RequestHead,
    RequestParser,
    ResponseHead,
    ResponseParser,
    forwarded_part,
    serialise_request,
    serialise_response,
)

FORWARDED = forwarded_part("203.0.113.9", "http")


def request(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> RequestHead:
    raw = b"\r\n".join((line, b"Host: a.cn", *lines, b"", b""))
    head = RequestParser().parse(raw)
    assert head is not None
    return head


def onward(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> list[bytes]:
    """Lines of the head that goes upstream for a request with these field lines."""
    head = request(*lines, line=line)
    raw = serialise_request(head, host=head.host or b"", forwarded=FORWARDED)
    assert raw.endswith(b"\r\n\r\n")
    return raw[:-4].split(b"\r\n")


def response(
    *lines: bytes, line: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET"
) -> ResponseHead:
    head = ResponseParser().parse(b"\r\n".join((line, *lines, b"", b"")), 0, method)
    assert head is not None
    return head


def test_request_is_written_anew() -> None:
    assert onward(b"Accept: */*", line=b"GET http://a.cn/x?y HTTP/1.0") == [
        b"GET /x?y HTTP/1.1",
        b"Host: a.cn",
        b"Accept: */*",
        b"Via: 1.0 gate",
        b"X-Forwarded-For: 203.0.113.9",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: a.cn",
    ]


def test_host_sent_is_the_one_given() -> None:
    head = request(b"Accept: */*")
    raw = serialise_request(head, host=b"b.cn:81", forwarded=FORWARDED)
    assert raw.startswith(b"GET / HTTP/1.1\r\nHost: b.cn:81\r\nAccept: */*\r\n")
    assert raw.endswith(b"\r\nX-Forwarded-Host: b.cn:81\r\n\r\n")
    assert b"a.cn" not in raw


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        ([], []),
        ([b"Content-Length: 010"], [b"Content-Length: 10"]),
        ([b"TRANSFER-encoding: Chunked"], [b"Transfer-Encoding: chunked"]),
        ([b"Connection: keep-alive", b"Keep-Alive: timeout=5"], []),
        ([b"Connection: close", b"Proxy-Connection: close"], []),
        ([b"Proxy-Authorization: Basic eA==", b"Proxy-Authenticate: Basic"], []),
        ([b"TE: gzip"], []),
        ([b"TE: gzip, Trailers", b"Connection: te"], [b"TE: trailers", b"Connection: TE"]),
        ([b"Trailer: X-Sum"], [b"Trailer: X-Sum"]),
        (
            [b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", b"Connection: upgrade, HTTP2-Settings"],
            [],
        ),
        ([b"Upgrade: websocket"], []),
        ([b"Upgrade: TLS/1.0", b"Connection: upgrade"], []),
        (
            [b"Connection: Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Version: 13"],
            [b"Sec-WebSocket-Version: 13", b"Connection: upgrade", b"Upgrade: websocket"],
        ),
        (
            [b"Upgrade: h2c, websocket", b"Connection: keep-alive, upgrade"],
            [b"Connection: upgrade", b"Upgrade: websocket"],
        ),
        ([b"Connection: x-drop, X-Also", b"X-Drop: 1", b"X-ALSO: 2", b"X-Keep: 3"], [b"X-Keep: 3"]),
        ([b"X-Drop: 1", b"Connection: x-drop"], []),
        ([b"Connection: x", b"Connection: y", b"X: 1", b"Y: 2", b"Z: 3"], [b"Z: 3"]),
        (
            [b"Connection: transfer-encoding", b"Transfer-Encoding: chunked"],
            [b"Transfer-Encoding: chunked"],
        ),
        ([b"Connection: not a token", b"Not: 1"], [b"Not: 1"]),
        (
            [b"Expect: 100-continue", b"Content-Length: 5"],
            [b"Content-Length: 5", b"Expect: 100-continue"],
        ),
        ([b"Expect: 100-continue"], []),
        ([b"Forwarded: for=1.2.3.4;host=b.cn"], []),
        ([b"X-Forwarded-Host: b.cn", b"X-Forwarded-Proto: https", b"X-Forwarded-Port: 443"], []),
        ([b"X_Forwarded_Host: b.cn", b"X-Forwarded_For: 1.1.1.1", b"X-Forwarded-Anything: x"], []),
        ([b"Set: 1", b"set: 2", b"SET: 3"], [b"Set: 1", b"set: 2", b"SET: 3"]),
    ],
)
def test_fields_between_host_and_via(lines: list[bytes], added: list[bytes]) -> None:
    sent = onward(*lines)
    assert sent[:2] == [b"GET / HTTP/1.1", b"Host: a.cn"]
    assert sent[2:-4] == added
    assert sent[-4:] == [
        b"Via: 1.1 gate",
        b"X-Forwarded-For: 203.0.113.9",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: a.cn",
    ]


def test_chains_are_appended_to() -> None:
    lines = [
        b"X-Forwarded-For: 1.1.1.1",
        b"Via: 1.0 a",
        b"x-forwarded-for: 2.2.2.2 , 3.3.3.3",
        b"via:1.1 b",
    ]
    head = request(*lines)
    assert head.forwarded_for == b"1.1.1.1, 2.2.2.2 , 3.3.3.3"
    assert head.via == b"1.0 a, 1.1 b"
    assert onward(*lines)[2:4] == [
        b"Via: 1.0 a, 1.1 b, 1.1 gate",
        b"X-Forwarded-For: 1.1.1.1, 2.2.2.2 , 3.3.3.3, 203.0.113.9",
    ]


@pytest.mark.parametrize(
    "option",
    [b"Host", b"Content-Length", b"Via", b"X-Forwarded-For", b"X-Forwarded-Host", b"forwarded"],
)
def test_connection_may_not_name_what_the_gate_writes(option: bytes) -> None:
    with pytest.raises(BadMessage) as caught:
        request(b"Connection: close, " + option)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("line", "lines", "upgrade"),
    [
        (b"GET / HTTP/1.1", [], b"websocket"),
        (b"GET http://a.cn/ HTTP/1.1", [], b"websocket"),
        (b"GET / HTTP/1.1", [b"Content-Length: 0"], b"websocket"),
        (b"GET / HTTP/1.1", [b"Content-Length: 1"], b""),
        (b"GET / HTTP/1.1", [b"Transfer-Encoding: chunked"], b""),
        (b"POST / HTTP/1.1", [], b""),
        (b"GET / HTTP/1.0", [], b""),
    ],
)
def test_upgrade_needs_a_bodiless_get(line: bytes, lines: list[bytes], upgrade: bytes) -> None:
    fields = [b"Connection: upgrade", b"Upgrade: websocket", *lines]
    assert request(*fields, line=line).upgrade == upgrade
    assert (b"Upgrade: websocket" in onward(*fields, line=line)) is bool(upgrade)


@pytest.mark.parametrize(
    ("line", "lines", "waits"),
    [
        (b"POST / HTTP/1.1", [b"Content-Length: 5"], True),
        (b"POST / HTTP/1.1", [b"Transfer-Encoding: chunked"], True),
        (b"POST / HTTP/1.1", [b"Content-Length: 0"], False),
        (b"POST / HTTP/1.1", [], False),
        (b"POST / HTTP/1.0", [b"Content-Length: 5"], False),
    ],
)
def test_expect_continue(line: bytes, lines: list[bytes], waits: bool) -> None:
    fields = [b"Expect: 100-Continue", *lines]
    assert request(*fields, line=line).expect_continue is waits
    assert (b"Expect: 100-continue" in onward(*fields, line=line)) is waits


@pytest.mark.parametrize("value", [b"200-ok", b"100-continue, x", b""])
def test_other_expectations_fail(value: bytes) -> None:
    with pytest.raises(BadMessage) as caught:
        request(b"Expect: " + value, b"Content-Length: 5")
    assert caught.value.status == 417


@pytest.mark.parametrize(
    ("line", "fields", "arguments", "sent"),
    [
        (
            b"HTTP/1.1 200 OK",
            [b"A: b"],
            {},
            [b"HTTP/1.1 200 OK", b"A: b", b"Via: 1.1 gate", b"Connection: close"],
        ),
        (
            b"HTTP/1.0 404",
            [b"Content-Length: 3", b"Connection: close"],
            {},
            [b"HTTP/1.1 404 ", b"Content-Length: 3", b"Via: 1.1 gate"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Content-Length: 3"],
            {"close": True},
            [b"HTTP/1.1 200 OK", b"Content-Length: 3", b"Via: 1.1 gate", b"Connection: close"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Content-Length: 3"],
            {"client_minor": 0},
            [b"HTTP/1.1 200 OK", b"Content-Length: 3", b"Via: 1.1 gate", b"Connection: keep-alive"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Transfer-Encoding: chunked", b"Trailer: X"],
            {},
            [b"HTTP/1.1 200 OK", b"Trailer: X", b"Transfer-Encoding: chunked", b"Via: 1.1 gate"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Transfer-Encoding: chunked"],
            {"client_minor": 0},
            [b"HTTP/1.1 200 OK", b"Via: 1.1 gate", b"Connection: close"],
        ),
        (
            b"HTTP/1.1 101 Switching Protocols",
            [b"Upgrade: WebSocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: x"],
            {},
            [
                b"HTTP/1.1 101 Switching Protocols",
                b"Sec-WebSocket-Accept: x",
                b"Via: 1.1 gate",
                b"Connection: upgrade",
                b"Upgrade: websocket",
            ],
        ),
        (
            b"HTTP/1.1 204 No Content",
            [b"Content-Length: 0", b"Keep-Alive: timeout=5", b"Via: 1.1 x"],
            {},
            [b"HTTP/1.1 204 No Content", b"Via: 1.1 x", b"Via: 1.1 gate"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Content-Length: 0", b"Connection: x-drop", b"X-Drop: 1", b"Upgrade: h2,h2c"],
            {},
            [b"HTTP/1.1 200 OK", b"Content-Length: 0", b"Via: 1.1 gate"],
        ),
    ],
)
def test_response_is_written_anew(
    line: bytes, fields: list[bytes], arguments: dict[str, int], sent: list[bytes]
) -> None:
    raw = serialise_response(
        response(*fields, line=line),
        close=bool(arguments.get("close")),
        client_minor=arguments.get("client_minor", 1),
    )
    assert raw.endswith(b"\r\n\r\n")
    assert raw[:-4].split(b"\r\n") == sent


def test_head_and_304_keep_the_length_of_the_body_they_leave_out() -> None:
    for head in (
        response(b"Content-Length: 30", method=b"HEAD"),
        response(b"Content-Length: 30", line=b"HTTP/1.1 304 Not Modified"),
    ):
        assert b"\r\nContent-Length: 30\r\n" in serialise_response(head, close=False)
    chunked = response(b"Transfer-Encoding: chunked", method=b"HEAD")
    assert b"chunked" not in serialise_response(chunked, close=False)
