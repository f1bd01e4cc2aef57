"""Response heads: framing by RFC 9112 6.3, what is mended, and what is refused."""

import pytest

from gate.wire.http1 import BadMessage, Framing, ResponseHead, ResponseParser


def parse(raw: bytes, method: bytes = b"GET") -> ResponseHead:
    head = ResponseParser().parse(raw, 0, method)
    assert head is not None, "more bytes wanted"
    return head


def with_fields(*lines: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"".join((line, b"\r\n", *(field + b"\r\n" for field in lines), b"\r\n"))


def test_reads_a_common_response() -> None:
    raw = with_fields(b"Server: nginx", b"Content-Length: 5", b"Connection: keep-alive")
    head = parse(raw + b"hello")
    assert (head.status, head.reason, head.minor) == (200, b"OK", 1)
    assert head.fields == b"Server: nginx\r\n"
    assert (head.framing, head.length) == (Framing.LENGTH, 5)
    assert head.keep_alive
    assert head.upgrade == b""
    assert head.consumed == len(raw)


LENGTH, CHUNKED = b"Content-Length: 7", b"Transfer-Encoding: Chunked"


@pytest.mark.parametrize(
    ("status", "method", "lines", "framing", "length"),
    [
        (200, b"GET", [LENGTH], Framing.LENGTH, 7),
        (200, b"GET", [b"Content-Length: 0"], Framing.LENGTH, 0),
        (200, b"GET", [b"Content-Length: 7, 7"], Framing.LENGTH, 7),
        (200, b"GET", [LENGTH, LENGTH], Framing.LENGTH, 7),
        (200, b"GET", [CHUNKED], Framing.CHUNKED, -1),
        (200, b"GET", [], Framing.CLOSE, -1),
        (500, b"POST", [], Framing.CLOSE, -1),
        (200, b"HEAD", [], Framing.NONE, -1),
        (200, b"HEAD", [LENGTH], Framing.NONE, 7),
        (404, b"HEAD", [CHUNKED], Framing.NONE, -1),
        (304, b"GET", [], Framing.NONE, -1),
        (304, b"GET", [LENGTH], Framing.NONE, 7),
        (304, b"GET", [CHUNKED], Framing.NONE, -1),
        (204, b"GET", [], Framing.NONE, -1),
        (204, b"GET", [LENGTH], Framing.NONE, -1),
        (204, b"GET", [CHUNKED], Framing.NONE, -1),
        (100, b"POST", [], Framing.NONE, -1),
        (103, b"GET", [b"Link: </a.css>"], Framing.NONE, -1),
        (101, b"GET", [b"Upgrade: websocket"], Framing.NONE, -1),
        (200, b"CONNECT", [LENGTH], Framing.NONE, -1),
        (403, b"CONNECT", [LENGTH], Framing.LENGTH, 7),
        (205, b"GET", [LENGTH], Framing.LENGTH, 7),
        (999, b"GET", [LENGTH], Framing.LENGTH, 7),
    ],
)
def test_body_framing(
    status: int, method: bytes, lines: list[bytes], framing: Framing, length: int
) -> None:
    head = parse(with_fields(*lines, line=b"HTTP/1.1 %d X" % status), method)
    assert (head.framing, head.length) == (framing, length)


def test_framing_depends_on_the_method_of_each_request() -> None:
    parser, raw = ResponseParser(), with_fields(LENGTH)
    for method, framing in ((b"GET", Framing.LENGTH), (b"HEAD", Framing.NONE)) * 2:
        head = parser.parse(raw, 0, method)
        assert head is not None
        assert head.framing is framing


@pytest.mark.parametrize(
    ("line", "lines", "kept"),
    [
        (b"HTTP/1.1 200 OK", [LENGTH], True),
        (b"HTTP/1.1 200 OK", [LENGTH, b"Connection: Close"], False),
        (b"HTTP/1.1 200 OK", [LENGTH, b"Connection: x, close"], False),
        (b"HTTP/1.0 200 OK", [LENGTH], False),
        (b"HTTP/1.0 200 OK", [LENGTH, b"Connection: Keep-Alive"], True),
        (b"HTTP/1.0 200 OK", [LENGTH, b"Connection: x, keep-alive"], True),
        (b"HTTP/1.1 200 OK", [], False),
        (b"HTTP/1.1 304 Not Modified", [], True),
        (b"HTTP/1.1 101 Switching Protocols", [b"Upgrade: websocket"], False),
        (b"HTTP/1.1 100 Continue", [], True),
    ],
)
def test_keep_alive(line: bytes, lines: list[bytes], kept: bool) -> None:
    assert parse(with_fields(*lines, line=line)).keep_alive is kept


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, b"OK"),
        (b"HTTP/1.1 200 ", 200, b""),
        (b"HTTP/1.1 200", 200, b""),
        (b"HTTP/1.0 404 Not  Found\t!", 404, b"Not  Found\t!"),
        ("HTTP/1.1 404 找不到".encode(), 404, "找不到".encode()),
    ],
)
def test_status_line(line: bytes, status: int, reason: bytes) -> None:
    head = parse(with_fields(LENGTH, line=line))
    assert (head.status, head.reason) == (status, reason)


@pytest.mark.parametrize(
    "raw",
    [
        b"hello",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
        b"<html>\r\n\r\n",
        with_fields(b"A: \x00"),
        with_fields(b"A"),
        with_fields(b": a"),
        with_fields(b" A: b"),
        with_fields(LENGTH, CHUNKED),
        with_fields(b"Content-Length: 7", b"Content-Length: 8"),
        with_fields(b"Content-Length: 7, 8"),
        with_fields(b"Content-Length: 7,"),
        with_fields(b"Content-Length: -1"),
        with_fields(b"Content-Length:"),
        with_fields(b"Content-Length: 9223372036854775808"),
        with_fields(b"Transfer-Encoding: gzip, chunked"),
        with_fields(b"Transfer-Encoding: identity"),
        with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        with_fields(CHUNKED, line=b"HTTP/1.0 200 OK"),
        with_fields(line=b"HTTP/1.1 101 Switching Protocols"),
    ],
)
def test_bad_response_is_refused(raw: bytes) -> None:
    for _ in range(2):
        with pytest.raises(BadMessage) as caught:
            ResponseParser().parse(raw)
        assert caught.value.status == 502
        assert caught.value.detail


@pytest.mark.parametrize(
    ("lines", "upgrade"),
    [
        ([b"Upgrade: WebSocket"], b"websocket"),
        ([b"Upgrade: websocket", b"Upgrade:"], b"websocket"),
        ([b"Upgrade: ,websocket ,"], b"websocket"),
        ([b"Upgrade: websocket, x"], b"websocket, x"),
    ],
)
def test_protocol_of_a_101_is_read_without_empty_list_elements(
    lines: list[bytes], upgrade: bytes
) -> None:
    head = parse(with_fields(*lines, line=b"HTTP/1.1 101 Switching Protocols"))
    assert head.upgrade == upgrade


def test_space_before_the_colon_is_removed() -> None:
    """RFC 9112 5.1: a proxy must."""
    head = parse(with_fields(b"Server : x", b"Content-Length\t : 5", b"A: b : c"))
    assert head.fields == b"Server: x\r\nA: b : c\r\n"
    assert (head.framing, head.length) == (Framing.LENGTH, 5)
    with pytest.raises(BadMessage):
        parse(with_fields(LENGTH, b"Transfer-Encoding : chunked"))


def test_folded_lines_are_unfolded() -> None:
    """RFC 9112 5.2: a proxy that does not refuse a fold replaces it with a space."""
    head = parse(with_fields(b"A: b", b"\t c", b" d", b"Content-Length:", b" 5"))
    assert head.fields == b"A: b c d\r\n"
    assert head.length == 5


def test_every_prefix_of_a_head_wants_more() -> None:
    parser, raw = ResponseParser(), with_fields(b"Server: x", LENGTH)
    buf, searched = bytearray(), 0
    for size in range(len(raw)):
        assert parser.parse(raw[:size]) is None
        buf += raw[size : size + 1]
        if len(buf) < len(raw):
            assert parser.parse(buf, 0, b"GET", searched) is None
            searched = len(buf)
    head = parser.parse(buf, 0, b"GET", searched)
    assert head is not None
    assert head.consumed == len(raw)
