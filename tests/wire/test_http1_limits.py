"""Heads that arrive in pieces, heads that are too large, and the memo's bounds."""

import pytest

from gate.wire.http1 import BadMessage, RequestHead, RequestParser, ResponseParser
from gate.wire.http1.memo import HeadMemo

HEAD = b"GET /path HTTP/1.1\r\nHost: a.cn\r\nAccept: */*\r\n\r\n"


def feed_bytes(parser: RequestParser, raw: bytes) -> tuple[RequestHead | None, int]:
    """Gives raw to parser byte by byte; the head, and after how many bytes it was there."""
    buf, searched = bytearray(), 0
    for count, byte in enumerate(raw, 1):
        buf.append(byte)
        head = parser.parse(buf, 0, searched)
        if head is not None:
            return head, count
        searched = len(buf)
    return None, len(raw)


def status_after(parser: RequestParser, raw: bytes) -> tuple[int, int]:
    """Status that raw is refused with byte by byte, and after how many bytes."""
    buf, searched = bytearray(), 0
    for count, byte in enumerate(raw, 1):
        buf.append(byte)
        try:
            assert parser.parse(buf, 0, searched) is None
        except BadMessage as error:
            return error.status, count
        searched = len(buf)
    raise AssertionError("not refused")


@pytest.mark.parametrize(
    "raw",
    [HEAD, b"\r\n" + HEAD, b"\r\n" * 9 + HEAD, HEAD.replace(b"GET /", b"GET http://a.cn/")],
)
def test_byte_by_byte_gives_the_same_head(raw: bytes) -> None:
    whole = RequestParser().parse(raw)
    pieces, count = feed_bytes(RequestParser(), raw)
    assert whole is not None
    assert pieces is not None
    assert count == len(raw)
    for name in ("method", "target", "minor", "host", "fields", "framing", "consumed", "onward"):
        assert getattr(whole, name) == getattr(pieces, name)


def test_every_prefix_of_a_head_wants_more() -> None:
    parser = RequestParser()
    assert parser.parse(HEAD) is not None
    for size in range(len(HEAD)):
        assert parser.parse(HEAD[:size]) is None
        assert parser.parse(bytearray(HEAD[:size])) is None


@pytest.mark.parametrize(
    ("raw", "status", "after"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, 15),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400, 24),
        (b"GET / HTTP/1.1\r\nHost: a\rX", 400, 25),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505, 16),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 405, 22),
        (b"nonsense\r\n", 400, 10),
        (b"\r\n\r\nnonsense\r\n", 400, 14),
        (b"\r\n\r\n\n", 400, 5),
    ],
)
def test_is_refused_with_the_first_byte_that_spoils_it(raw: bytes, status: int, after: int) -> None:
    assert status_after(RequestParser(), raw) == (status, after)


def test_http_0_9_needs_only_its_line() -> None:
    head, count = feed_bytes(RequestParser(), b"GET /\r\n")
    assert head is not None
    assert count == 7


def test_head_limit_is_exact() -> None:
    parser = RequestParser(max_head=len(HEAD))
    assert parser.parse(HEAD) is not None
    assert parser.parse(HEAD + b"more") is not None
    for raw in (HEAD.replace(b"*/*", b"*/*x"), HEAD.replace(b"GET /", b"GET http://a.cn/")):
        for buf in (raw, raw + raw):
            with pytest.raises(BadMessage) as caught:
                parser.parse(buf)
            assert caught.value.status == 431


def test_empty_lines_in_front_count_towards_the_head_limit() -> None:
    parser = RequestParser(max_head=len(HEAD) + 20)
    for _ in range(2):  # the second time the block is remembered
        assert parser.parse(b"\r\n" * 10 + HEAD) is not None
        for buf in (b"\r\n" * 11 + HEAD, b"\r\n" * 11 + HEAD + HEAD):
            with pytest.raises(BadMessage) as caught:
                parser.parse(buf)
            assert caught.value.status == 431
    assert status_after(parser, b"\r\n" * 100) == (431, len(HEAD) + 21)
    assert status_after(RequestParser(max_head=40), b"\r\n" * 10 + b"GET /" + b"x" * 99)[1] == 41


def test_head_limit_holds_for_a_block_that_is_remembered() -> None:
    parser = RequestParser(max_head=len(HEAD))
    assert parser.parse(HEAD) is not None
    with pytest.raises(BadMessage) as caught:
        parser.parse(HEAD.replace(b"/path", b"/path/path"))
    assert caught.value.status == 431


def test_endless_head_is_refused_at_the_limit() -> None:
    endless = b"GET / HTTP/1.1\r\nHost: a.cn\r\nX: " + b"x" * 2000
    assert status_after(RequestParser(max_head=1000), endless) == (431, 1001)


def test_request_line_limit_is_exact() -> None:
    parser = RequestParser(max_line=30)
    fits = b"GET /" + b"x" * 16 + b" HTTP/1.1"
    assert len(fits) == 30
    rest = b"\r\nHost: a.cn\r\n\r\n"
    assert parser.parse(fits + rest) is not None
    assert feed_bytes(parser, fits + rest)[1] == len(fits + rest)
    long_lines = (
        b"GET /" + b"x" * 17 + b" HTTP/1.1",
        b"GET http://a.cn/xxxxx HTTP/1.1x",
    )
    for line in long_lines:
        for raw in (line + rest, line):
            with pytest.raises(BadMessage) as caught:
                parser.parse(raw)
            assert caught.value.status == 414
    assert status_after(parser, b"GET /" + b"x" * 100) == (414, 31)


def test_field_count_limit_is_exact() -> None:
    parser = RequestParser(max_fields=4)
    line = b"GET / HTTP/1.1\r\nHost: a.cn\r\n"
    assert parser.parse(line + b"X: x\r\n" * 4 + b"\r\n") is not None
    with pytest.raises(BadMessage) as caught:
        parser.parse(line + b"X: x\r\n" * 5 + b"\r\n")
    assert caught.value.status == 431
    assert "4" in caught.value.detail


def test_response_limits() -> None:
    parser = ResponseParser(max_head=100, max_fields=2)
    good = b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n"
    assert parser.parse(good) is not None
    for bad in (
        good.replace(b"C: d", b"C: d\r\nE: f"),
        good.replace(b"C: d", b"C: " + b"d" * 80),
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100,
    ):
        with pytest.raises(BadMessage) as caught:
            parser.parse(bad)
        assert caught.value.status == 502


def test_memo_is_bounded_in_entries() -> None:
    memo: HeadMemo[int] = HeadMemo(entries=10, max_bytes=10**6)
    for number in range(1000):
        memo.store(b"%d" % number, number)
        assert len(memo.young) <= 10
        assert len(memo.old) <= 10
    assert memo.young[b"999"] == 999


def test_memo_is_bounded_in_bytes() -> None:
    memo: HeadMemo[int] = HeadMemo(entries=10**6, max_bytes=3200)
    for number in range(1000):
        memo.store(b"%0100d" % number, number)
        assert sum(len(head) for head in memo.young) <= 3200
    memo.store(b"x" * 101, 1)
    assert b"x" * 101 not in memo.young


def test_memo_keeps_what_is_used_through_a_flood() -> None:
    memo: HeadMemo[int] = HeadMemo(entries=10, max_bytes=10**6)
    memo.store(b"used", 1)
    for number in range(1000):
        memo.store(b"%d" % number, number)
        if number % 5 == 0:
            assert (memo.young.get(b"used") or memo.old.get(b"used")) == 1
            memo.store(b"used", 1)


def test_memo_gives_the_same_answer_as_parsing() -> None:
    parser, fresh = RequestParser(), RequestParser(memo_bytes=0)
    block = b"\r\nHost: a.cn\r\nConnection: upgrade\r\nUpgrade: websocket\r\nVia: 1.1 x\r\n\r\n"
    lines = (
        b"GET /1 HTTP/1.1",
        b"POST /2 HTTP/1.1",
        b"GET http://a.cn/3 HTTP/1.1",
        b"GET /4 HTTP/1.0",
        b"GET /5 HTTP/1.1",
    )
    for line in lines * 2:
        one, two = parser.parse(line + block), fresh.parse(line + block)
        assert one is not None
        assert two is not None
        assert one.target == two.target
        assert one.upgrade == two.upgrade
        assert one.onward == two.onward
        assert one.keep_alive == two.keep_alive


def test_refused_block_is_refused_again() -> None:
    parser = RequestParser()
    for _ in range(3):
        with pytest.raises(BadMessage):
            parser.parse(HEAD.replace(b"*/*", b"\x00"))
