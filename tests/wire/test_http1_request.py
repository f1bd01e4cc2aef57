"""Request heads: what is understood, and what is refused with which status."""

import pytest

from gate.wire.http1 import HTTP_0_9, BadMessage, Framing, RequestHead, RequestParser


def parse(raw: bytes) -> RequestHead:
    """Parses raw, which must be one whole head."""
    head = RequestParser().parse(raw)
    assert head is not None, "more bytes wanted"
    return head


def refusal(raw: bytes) -> BadMessage:
    """The error that raw is refused with."""
    with pytest.raises(BadMessage) as caught:
        RequestParser().parse(raw)
    return caught.value


def with_fields(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"".join((line, b"\r\n", *(field + b"\r\n" for field in lines), b"\r\n"))


def test_reads_a_common_request() -> None:
    raw = b"GET /a?b=c HTTP/1.1\r\nHost: Example.com:8080\r\nAccept: */*\r\n\r\n"
    head = parse(raw)
    assert (head.method, head.target, head.minor) == (b"GET", b"/a?b=c", 1)
    assert head.host == b"Example.com:8080"
    assert head.fields == b"Accept: */*\r\n"
    assert (head.framing, head.length) == (Framing.NONE, 0)
    assert head.keep_alive
    assert not head.expect_continue
    assert head.upgrade == b""
    assert head.consumed == len(raw)


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (b"GET / HTTP/1.1", b"/"),
        (b"OPTIONS * HTTP/1.1", b"*"),
        (b"GET http://a.cn/x HTTP/1.1", b"/x"),
        (b"GET HTTP://A.CN/x HTTP/1.1", b"/x"),
        (b"GET https://a.cn/x HTTP/1.1", b"/x"),
        (b"GET http://a.cn HTTP/1.1", b"/"),
        (b"GET http://a.cn?q=1 HTTP/1.1", b"/?q=1"),
        (b"GET http://a.cn:80/x HTTP/1.1", b"/x"),
        (b"OPTIONS http://a.cn HTTP/1.1", b"*"),
        (b"OPTIONS http://a.cn/ HTTP/1.1", b"/"),
        (b"GET //b.cn/x HTTP/1.1", b"//b.cn/x"),
        (b'GET /|{}^"<>\\` HTTP/1.1', b'/|{}^"<>\\`'),
        (b"GET /%00%0d%0a HTTP/1.1", b"/%00%0d%0a"),
        ("GET /中文 HTTP/1.1".encode(), "/中文".encode()),
        ("GET /?q=中文 HTTP/1.1".encode("gbk"), "/?q=中文".encode("gbk")),
        (b"M-SEARCH / HTTP/1.1", b"/"),
    ],
)
def test_target_is_reduced_to_origin_form(line: bytes, target: bytes) -> None:
    assert parse(with_fields(b"Host: a.cn", line=line)).target == target


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"CONNECT a.cn:443 HTTP/1.1", 405),
        (b"CONNECT /x HTTP/1.1", 405),
        (b"TRACE / HTTP/1.1", 405),
        (b"TRACE http://a.cn/ HTTP/1.1", 405),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/3.0", 505),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / HTTP/1.10", 400),
        (b"CONNECT a.cn:443 HTTP/1.2", 405),
        (b"GET / HTTP/11.1", 400),
        (b"GET / HTTP/1,1", 400),
        (b"GET / XHTTP/1.1", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET / a HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /\x0b HTTP/1.1", 400),
        (b"GET /#top HTTP/1.1", 400),
        (b"GET http://a.cn/#top HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET a.cn HTTP/1.1", 400),
        (b"GET a.cn:80 HTTP/1.1", 400),
        (b"GET ftp://a.cn/ HTTP/1.1", 400),
        (b"GET http:///x HTTP/1.1", 400),
        (b"GET http:/a.cn/x HTTP/1.1", 400),
        (b"GET http://user@a.cn/ HTTP/1.1", 400),
        (b"GET http://a.cn\\@b.cn/ HTTP/1.1", 400),
        (b"GET http://a.cn:99999/ HTTP/1.1", 400),
        (b"GE(T / HTTP/1.1", 400),
        (b"/ HTTP/1.1", 400),
        (b"GET", 400),
        (b"POST /", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_bad_request_line_is_refused(line: bytes, status: int) -> None:
    assert refusal(with_fields(b"Host: a.cn", line=line)).status == status


def test_http2_preface_is_named() -> None:
    error = refusal(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert error.status == 505
    assert "HTTP/2" in error.detail


@pytest.mark.parametrize(
    "value",
    [
        b"a.cn",
        b"A.cn.",
        b"a.cn:8080",
        b"a.cn:65535",
        b"a.cn:",
        b"127.0.0.1",
        b"[::1]",
        b"[::1]:80",
        b"xn--fiqs8s.cn",
        "例子.中国".encode(),
        b"a_b.cn",
        b"a%2e.cn",
    ],
)
def test_host_is_taken_as_sent(value: bytes) -> None:
    assert parse(with_fields(b"Accept: */*", b"hOsT:  " + value + b"\t ")).host == value
    assert parse(with_fields(b"Host: " + value)).host == value


@pytest.mark.parametrize(
    ("lines", "detail"),
    [
        ([], "without a Host"),
        ([b"Host:"], "empty"),
        ([b"Host: \t"], "empty"),
        ([b"Host: a.cn", b"Host: a.cn"], "twice"),
        ([b"Host: a.cn", b"Accept: x", b"hOST: b.cn"], "twice"),
        ([b"Accept: x", b"Host: a.cn", b"Host: a.cn"], "one host only"),
        ([b"Accept: x", b"Host:", b"Host: a.cn"], "one host only"),
        ([b"Host: a.cn, b.cn"], "comma"),
        ([b"Host: user@a.cn"], "user information"),
        ([b"Host: a.cn/x"], "path"),
        ([b"Host: a.cn?x"], "path"),
        ([b"Host: a.cn#x"], "path"),
        ([b"Host: a.cn\\x"], "path"),
        ([b"Host: http://a.cn"], "path"),
        ([b"Host: a.cn b.cn"], "space"),
        ([b"Host: a.cn\tb.cn"], "control byte"),
        ([b"Host: a.cn\x00"], "control byte"),
        ([b"Host: a.cn:65536"], "port"),
        ([b"Host: a.cn:80a"], "port"),
        ([b"Host: a.cn:-1"], "port"),
        ([b"Host: a.cn:+80"], "port"),
        ([b"Host: a.cn:\xef\xbc\x98\xef\xbc\x90"], "port"),
        ([b"Host: a.cn:80:80"], "not a host"),
        ([b"Host: :80"], "not a host"),
        ([b"Host: ::1"], "not a host"),
        ([b"Host: [::1"], "not a host"),
        ([b"Host: [::1]x"], "not a host"),
        ([b"Host: [fe80::1%25eth0]"], "not a host"),
        ([b"Host: <a.cn>"], "not a host"),
    ],
)
def test_bad_host_is_refused(lines: list[bytes], detail: str) -> None:
    error = refusal(with_fields(*lines))
    assert error.status == 400
    assert detail in error.detail


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"GET http://a.cn/ HTTP/1.1"])
def test_http_1_1_needs_a_host_field_in_any_form(line: bytes) -> None:
    assert refusal(with_fields(b"Accept: x", line=line)).status == 400


def test_http_1_0_may_come_without_a_host() -> None:
    assert parse(with_fields(line=b"GET / HTTP/1.0")).host is None
    assert parse(with_fields(b"Host:", line=b"GET / HTTP/1.0")).host is None
    assert parse(with_fields(b"Host: a.cn", line=b"GET / HTTP/1.0")).host == b"a.cn"
    assert parse(with_fields(line=b"GET http://a.cn/x HTTP/1.0")).host == b"a.cn"


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://a.cn/", b"A.CN"),
        (b"http://A.cn/", b"a.cn:80"),
        (b"http://a.cn:080/", b"a.cn"),
        (b"http://a.cn:/", b"a.cn"),
        (b"https://a.cn/", b"a.cn:443"),
        (b"http://a.cn:8080/", b"a.cn:8080"),
        (b"http://[::1]/", b"[::1]:80"),
    ],
)
def test_authority_of_the_target_counts(target: bytes, host: bytes) -> None:
    head = parse(with_fields(b"Host: " + host, line=b"GET %b HTTP/1.1" % target))
    assert head.host == target.split(b"/")[2]
    assert b"Host" not in head.fields


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://a.cn/", b"b.cn"),
        (b"http://a.cn/", b"a.cn:8080"),
        (b"http://a.cn/", b"a.cn:443"),
        (b"https://a.cn/", b"a.cn:80"),
        (b"http://a.cn:8080/", b"a.cn"),
        (b"http://a.cn/", b"a.cn."),
        (b"http://[::1]/", b"[::2]"),
    ],
)
def test_host_that_disagrees_with_the_target_is_refused(target: bytes, host: bytes) -> None:
    error = refusal(with_fields(b"Host: " + host, line=b"GET %b HTTP/1.1" % target))
    assert error.status == 400
    assert "disagrees" in error.detail


@pytest.mark.parametrize(
    ("lines", "detail"),
    [
        ([b"X: a", b" b"], "obs-fold"),
        ([b"X: a", b"\tb"], "obs-fold"),
        ([b" X: a"], "obs-fold"),
        ([b"X : a"], "before the colon"),
        ([b"X\t: a"], "before the colon"),
        ([b"Content-Length : 3"], "before the colon"),
        ([b": a"], "empty name"),
        ([b"X"], "no colon"),
        ([b"X Y: a"], "not a token"),
        ([b"X(: a"], "not a token"),
        ([b"X\x00: a"], "not a token"),
        ([b"\xe4\xb8\xad: a"], "not a token"),
        ([b"X: a\x00b"], "control byte"),
        ([b"X: a\x1bb"], "control byte"),
        ([b"X: a\x7fb"], "control byte"),
        ([b"X: a\nY: b"], "bare LF"),
        ([b"X: a\rY: b"], "bare CR"),
        ([b"X: a\r"], "bare CR"),
        ([b"X: a\x0bb"], "control byte"),
    ],
)
def test_bad_field_line_is_refused(lines: list[bytes], detail: str) -> None:
    error = refusal(with_fields(b"Host: a.cn", *lines))
    assert error.status == 400
    assert detail in error.detail


def test_obs_text_and_tabs_in_values_are_kept() -> None:
    head = parse(with_fields(b"Host: a.cn", b"X: a\tb \xe4\xb8\xad\xff", b"Y:", b"Z:z"))
    assert head.fields == b"X: a\tb \xe4\xb8\xad\xff\r\nY:\r\nZ:z\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\r",
        b"GET / HTTP/1.1\r\nHost: a\rX",
        b"GET /\n",
        b"\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_bare_line_ends_are_refused_at_once(raw: bytes) -> None:
    error = refusal(raw)
    assert error.status == 400
    assert "bare" in error.detail


@pytest.mark.parametrize(
    ("lines", "framing", "length"),
    [
        ([], Framing.NONE, 0),
        ([b"Content-Length: 0"], Framing.LENGTH, 0),
        ([b"Content-Length: 5"], Framing.LENGTH, 5),
        ([b"content-LENGTH:\t007 "], Framing.LENGTH, 7),
        ([b"Content-Length: 9223372036854775807"], Framing.LENGTH, 2**63 - 1),
        ([b"Transfer-Encoding: chunked"], Framing.CHUNKED, 0),
        ([b"Transfer-Encoding: CHUNKED"], Framing.CHUNKED, 0),
    ],
)
def test_body_framing(lines: list[bytes], framing: Framing, length: int) -> None:
    head = parse(with_fields(b"Host: a.cn", *lines, line=b"POST / HTTP/1.1"))
    assert (head.framing, head.length) == (framing, length)
    assert head.fields == b""


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"Content-Length: 5", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 0"], 400),
        ([b"Content-Length: 5", b"Content-Length: 5"], 400),
        ([b"Content-Length: 5", b"Content-Length: 6"], 400),
        ([b"Content-Length:", b"Content-Length: 6"], 400),
        ([b"Content-Length: 5, 5"], 400),
        ([b"Content-Length:"], 400),
        ([b"Content-Length: -1"], 400),
        ([b"Content-Length: +1"], 400),
        ([b"Content-Length: 0x10"], 400),
        ([b"Content-Length: 1_0"], 400),
        ([b"Content-Length: 1 0"], 400),
        ([b"Content-Length: 1.0"], 400),
        ([b"Content-Length: \xd9\xa1"], 400),
        ([b"Content-Length: 9223372036854775808"], 400),
        ([b"Content-Length: 1" + b"0" * 400], 400),
        ([b"Content_Length: 5"], 400),
        ([b"Transfer_Encoding: chunked"], 400),
        ([b"Transfer-Encoding:"], 400),
        ([b"Transfer-Encoding: identity"], 400),
        ([b"Transfer-Encoding: gzip"], 400),
        ([b"Transfer-Encoding: gzip, chunked"], 501),
        ([b"Transfer-Encoding: chunked, gzip"], 400),
        ([b"Transfer-Encoding: chunked, chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"], 400),
        ([b"Transfer-Encoding: xchunked"], 400),
        ([b"Transfer-Encoding: chunked;a=b"], 400),
        ([b"Transfer-Encoding: \x0bchunked"], 400),
        ([b'Transfer-Encoding: "chunked"'], 400),
        ([b"Transfer-Encoding: chunked,"], 400),
    ],
)
def test_doubtful_framing_is_refused(lines: list[bytes], status: int) -> None:
    raw = with_fields(b"Host: a.cn", *lines, line=b"POST / HTTP/1.1")
    assert refusal(raw).status == status


def test_transfer_encoding_in_http_1_0_is_refused() -> None:
    raw = with_fields(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0")
    assert refusal(raw).status == 400


@pytest.mark.parametrize(
    ("line", "lines", "kept"),
    [
        (b"GET / HTTP/1.1", [], True),
        (b"GET / HTTP/1.1", [b"Connection: keep-alive"], True),
        (b"GET / HTTP/1.1", [b"Connection: close"], False),
        (b"GET / HTTP/1.1", [b"Connection: Close"], False),
        (b"GET / HTTP/1.1", [b"Connection: foo, close"], False),
        (b"GET / HTTP/1.1", [b"Connection: keep-alive", b"Connection: close"], False),
        (b"GET / HTTP/1.0", [], False),
        (b"GET / HTTP/1.0", [b"Connection: Keep-Alive"], True),
        (b"GET / HTTP/1.0", [b"Accept: x", b"connection: foo, KEEP-ALIVE"], True),
        (b"GET / HTTP/1.0", [b"Connection: keep-alive, close"], False),
        (b"GET / HTTP/1.0", [b"Connection: close"], False),
    ],
)
def test_keep_alive(line: bytes, lines: list[bytes], kept: bool) -> None:
    assert parse(with_fields(b"Host: a.cn", *lines, line=line)).keep_alive is kept


@pytest.mark.parametrize("raw", [b"GET /\r\n", b"GET /x\r\nHost: a.cn\r\n\r\n"])
def test_http_0_9_is_recognised_by_its_first_line(raw: bytes) -> None:
    head = parse(raw)
    assert head.minor == HTTP_0_9
    assert head.host is None
    assert not head.keep_alive
    assert head.consumed == raw.index(b"\r\n") + 2


@pytest.mark.parametrize("minor", range(1, 10))
@pytest.mark.parametrize("target", [b"/x", b"http://a.cn/x"])
def test_a_higher_minor_version_is_1_1(minor: int, target: bytes) -> None:
    """RFC 9110 2.5."""
    raw = with_fields(b"Host: a.cn", line=b"GET %b HTTP/1.%d" % (target, minor))
    head = parse(raw)
    assert (head.target, head.minor, head.host, head.keep_alive) == (b"/x", 1, b"a.cn", True)
    assert refusal(with_fields(line=b"GET / HTTP/1.%d" % minor)).detail.endswith("a Host field")


@pytest.mark.parametrize("count", [1, 2, 3, 100])
@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"GET http://a.cn/ HTTP/1.1", b"GET /"])
def test_empty_lines_in_front_are_skipped(count: int, line: bytes) -> None:
    """RFC 9112 2.2 asks servers to skip at least one."""
    empty, raw = b"\r\n" * count, with_fields(b"Host: a.cn", line=line)
    without = parse(raw)
    head = parse(empty + raw)
    assert head.consumed == without.consumed + len(empty)
    assert (head.target, head.host, head.onward) == (without.target, without.host, without.onward)
    assert RequestParser().parse(empty) is None
    assert RequestParser().parse(empty + b"\r") is None
    assert RequestParser().parse(empty + raw[:3]) is None


@pytest.mark.parametrize("raw", [b"\r\n\n", b"\n\r\n", b"\r\n\r\r", b"\r\r\n", b"\r\n \r\n"])
def test_what_is_no_empty_line_is_refused(raw: bytes) -> None:
    assert refusal(raw + with_fields(b"Host: a.cn")).status == 400


def test_pipelined_requests_are_parsed_one_by_one() -> None:
    first = b"POST /1 HTTP/1.1\r\nHost: a.cn\r\nContent-Length: 2\r\n\r\n"
    second = b"GET /2 HTTP/1.1\r\nHost: b.cn\r\n\r\n"
    for parser in (RequestParser(), RequestParser(memo_bytes=0)):
        for buf in (first + b"xy" + second + second, bytearray(first + b"xy" + second * 2)):
            head = parser.parse(buf)
            assert head is not None
            assert (head.target, head.host, head.consumed) == (b"/1", b"a.cn", len(first))
            for start in (len(first) + 2, len(first) + 2 + len(second)):
                head = parser.parse(buf, start)
                assert head is not None
                assert (head.target, head.host, head.consumed) == (b"/2", b"b.cn", len(second))
