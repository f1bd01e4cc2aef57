"""Response heads: framing by RFC 9112 6.3, what is mended, and what is refused."""

import pytest

from gate.wire.http1 import BadResponse, Framing, ResponseFault, ResponseHead, ResponseParser


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
        (200, b"GET", [b"Transfer-Encoding: identity"], Framing.CLOSE, -1),
        (200, b"GET", [b"Transfer-Encoding: Identity", LENGTH], Framing.LENGTH, 7),
        (200, b"GET", [b"Transfer-Encoding: identity, chunked"], Framing.CHUNKED, -1),
        (200, b"GET", [b"Transfer-Encoding: chunked, , identity"], Framing.CHUNKED, -1),
        (200, b"GET", [b"Transfer-Encoding: identity", CHUNKED], Framing.CHUNKED, -1),
        (200, b"GET", [b"Transfer-Encoding:", LENGTH], Framing.LENGTH, 7),
    ],
)
def test_body_framing(
    status: int, method: bytes, lines: list[bytes], framing: Framing, length: int
) -> None:
    head = parse(with_fields(*lines, line=b"HTTP/1.1 %d X" % status), method)
    assert (head.framing, head.length) == (framing, length)


@pytest.mark.parametrize(
    ("status", "method"),
    [(200, b"HEAD"), (404, b"HEAD"), (304, b"GET"), (204, b"GET"), (100, b"GET"), (103, b"POST")],
)
@pytest.mark.parametrize(
    "lines",
    [
        [LENGTH, CHUNKED],
        [b"Content-Length: 7", b"Content-Length: 8"],
        [b"Content-Length: 7, 8"],
        [b"Content-Length: many"],
        [b"Content-Length:"],
        [b"Content-Length: -1"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: \x0bchunked"],
        [CHUNKED, CHUNKED],
    ],
)
def test_what_never_has_a_body_has_none_whatever_its_framing_fields_say(
    status: int, method: bytes, lines: list[bytes]
) -> None:
    """RFC 9112 6.3: rule 1 comes before all others. What the origin does next is doubtful."""
    head = parse(with_fields(*lines, b"A: b", line=b"HTTP/1.1 %d X" % status), method)
    assert (head.framing, head.length, head.fields) == (Framing.NONE, -1, b"A: b\r\n")
    assert not head.keep_alive


@pytest.mark.parametrize(
    ("status", "method", "line", "kept"),
    [
        (204, b"GET", b"Content-Length: 0", True),
        (204, b"GET", LENGTH, False),
        (204, b"GET", CHUNKED, False),
        (304, b"GET", LENGTH, True),
        (304, b"GET", CHUNKED, True),
        (200, b"HEAD", LENGTH, True),
        (200, b"HEAD", CHUNKED, True),
        (200, b"HEAD", b"Transfer-Encoding: identity", True),
    ],
)
def test_a_connection_is_kept_unless_a_body_may_follow_where_none_is_due(
    status: int, method: bytes, line: bytes, kept: bool
) -> None:
    """RFC 9110 8.6 and RFC 9112 6.1 let a 304 and a HEAD speak of a body, but not a 204."""
    assert parse(with_fields(line, line=b"HTTP/1.1 %d X" % status), method).keep_alive is kept


def test_chunked_in_http_1_0_is_read_and_the_connection_ends() -> None:
    """RFC 9112 6.1: faulty, but its body is in chunks; nothing is asked on it again."""
    head = parse(with_fields(CHUNKED, b"Connection: keep-alive", line=b"HTTP/1.0 200 OK"))
    assert (head.framing, head.keep_alive) == (Framing.CHUNKED, False)


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
        (b"HTTP/1.1   200 OK", 200, b"OK"),
        (b"HTTP/1.1\t200\tOK", 200, b"OK"),
        (b"HTTP/1.0  404", 404, b""),
        (b"HTTP/1.1 200 O\x00K", 200, b"O K"),
        (b"HTTP/1.1 200 O\rK\x7f", 200, b"O K "),
        (b"HTTP/1.2 200 OK", 200, b"OK"),
        (b"HTTP/1.9 200 OK", 200, b"OK"),
    ],
)
def test_status_line(line: bytes, status: int, reason: bytes) -> None:
    head = parse(with_fields(LENGTH, line=line))
    assert (head.status, head.reason) == (status, reason)
    assert head.line == b"HTTP/1.1 %d %b\r\n" % (status, reason)


@pytest.mark.parametrize(("version", "minor"), [(b"1.0", 0), (b"1.1", 1), (b"1.2", 1), (b"1.9", 1)])
def test_a_higher_minor_version_is_1_1(version: bytes, minor: int) -> None:
    """RFC 9110 2.5."""
    assert parse(with_fields(LENGTH, line=b"HTTP/%b 200 OK" % version)).minor == minor


F = ResponseFault


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"hello", F.not_http),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", F.not_http),
        (b"HTTP/2 200 OK\r\n\r\n", F.not_http),
        (b"HTTP/1.10 200 OK\r\n\r\n", F.not_http),
        (b"http/1.1 200 OK\r\n\r\n", F.not_http),
        (b"HTTP/1.1\x00200 OK\r\n\r\n", F.not_http),
        (b"HTTP/1.1200 OK\r\n\r\n", F.not_http),
        (b"HTTP/1.1 20 OK\r\n\r\n", F.not_http),
        (b"HTTP/1.1 2000 OK\r\n\r\n", F.not_http),
        (b"HTTP/1.1 099 OK\r\n\r\n", F.not_http),
        (b"HTTP/1.1 200OK\r\n\r\n", F.not_http),
        (b"HTTP/1.1 200 OK\n A: b\n\n", F.bad_field),
        (b"<html>\r\n\r\n", F.not_http),
        (b"<html>\n\n", F.not_http),
        (with_fields(b"A"), F.bad_field),
        (with_fields(b": a"), F.bad_field),
        (with_fields(b" A: b"), F.bad_field),
        (with_fields(b"A\x00: b"), F.bad_field),
        (with_fields(b"A B: b"), F.bad_field),
        (with_fields("名: b".encode()), F.bad_field),
        (with_fields(b"A: b", b"\r"), F.bad_field),
        (with_fields(b"A: b", b"\rC: d"), F.bad_field),
        (with_fields(b"Content-Length: 7\x00"), F.bad_length),
        (with_fields(b"Content-Length: \r7"), F.bad_length),
        (with_fields(b"Transfer-Encoding: \x0bchunked"), F.unknown_coding),
        (with_fields(b"Transfer-Encoding\t: chunked\x0c"), F.unknown_coding),
        (with_fields(*[b"A: b"] * 257), F.too_large),
        (with_fields(b"A: " + b"b" * 65536), F.too_large),
        (b"HTTP/1.1 200 OK\nA: " + b"b" * 65536, F.too_large),
        (with_fields(LENGTH, CHUNKED), F.length_and_coding),
        (with_fields(LENGTH, CHUNKED, line=b"HTTP/1.0 200 OK"), F.length_and_coding),
        (with_fields(b"Content-Length: 7", b"Content-Length: 8"), F.bad_length),
        (with_fields(b"Content-Length: 7, 8"), F.bad_length),
        (with_fields(b"Content-Length: 7,"), F.bad_length),
        (with_fields(b"Content-Length: -1"), F.bad_length),
        (with_fields(b"Content-Length: 7 7"), F.bad_length),
        (with_fields(b"Content-Length:"), F.bad_length),
        (with_fields(b"Content-Length: 9223372036854775808"), F.bad_length),
        (with_fields(b"Transfer-Encoding: gzip, chunked"), F.unknown_coding),
        (with_fields(b"Transfer-Encoding: chunked, gzip"), F.unknown_coding),
        (with_fields(b"Transfer-Encoding: gzip", LENGTH), F.unknown_coding),
        (
            with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
            F.unknown_coding,
        ),
        (with_fields(line=b"HTTP/1.1 101 Switching Protocols"), F.bad_switch),
    ],
)
def test_bad_response_is_refused_for_a_reason_of_its_own(raw: bytes, kind: ResponseFault) -> None:
    for _ in range(2):
        with pytest.raises(BadResponse) as caught:
            ResponseParser().parse(raw)
        assert caught.value.status == 502
        assert caught.value.kind is kind
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
    with pytest.raises(BadResponse):
        parse(with_fields(LENGTH, b"Transfer-Encoding : chunked"))


def test_folded_lines_are_unfolded() -> None:
    """RFC 9112 5.2: a proxy that does not refuse a fold replaces it with a space."""
    head = parse(with_fields(b"A: b", b"\t c", b" d", b"Content-Length:", b" 5"))
    assert head.fields == b"A: b c d\r\n"
    assert head.length == 5


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\nA: b\nContent-Length: 5\n\n",
        b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\nContent-Length: 5\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\nContent-Length: 5\r\n\n",
        b"HTTP/1.1 200 OK\nA:\n b\nContent-Length : 5\n\n",
    ],
)
@pytest.mark.parametrize("body", [b"", b"hello", b"h\n\no\r\n\r\n", b"\r\n\r\n", b"\n"])
def test_lines_may_end_with_lf_alone(raw: bytes, body: bytes) -> None:
    """RFC 9112 2.2. The first empty line ends the head, however it is written."""
    head = parse(raw + body)
    assert (head.consumed, head.framing, head.length) == (len(raw), Framing.LENGTH, 5)
    assert head.line + head.onward == (b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n")


def test_a_head_of_nothing_but_its_status_line_may_end_with_lf() -> None:
    for raw in (b"HTTP/1.0 200 OK\n\n", b"HTTP/1.0 200 OK\n\r\n", b"HTTP/1.0 200 OK\r\n\n"):
        head = parse(raw + b"hello")
        assert (head.consumed, head.framing, head.fields) == (len(raw), Framing.CLOSE, b"")


@pytest.mark.parametrize("byte", [b"%c" % n for n in (*range(9), *range(11, 32), 127)])
def test_a_control_byte_in_a_value_becomes_a_space(byte: bytes) -> None:
    """RFC 9110 5.5 asks it for CR and NUL; LF ends the line."""
    head = parse(with_fields(b"A: b%bc%b" % (byte, byte), b"Content-Length: 5", b"D:e%b" % byte))
    assert head.fields == b"A: b c \r\nD:e \r\n"
    assert (head.framing, head.length) == (Framing.LENGTH, 5)


def test_what_is_mended_is_mended_once_and_never_makes_another_field() -> None:
    head = parse(with_fields(b"A: b\rContent-Length: 9\r\x00", b"\t\x01c", b"Content-Length: 5"))
    assert head.fields == b"A: b Content-Length: 9    c\r\n"
    assert head.length == 5


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_every_prefix_of_a_head_wants_more(end: bytes) -> None:
    parser, raw = ResponseParser(), with_fields(b"Server: x", LENGTH).replace(b"\r\n", end)
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
