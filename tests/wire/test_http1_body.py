"""Message bodies: chunked, of known length, and ended by the connection."""

import pytest

from gate.wire.http1 import (
    RESPONSE_CHUNKS,
    BadMessage,
    ChunkedBody,
    ChunkLimits,
    CloseBody,
    LengthBody,
)

Data = bytes | memoryview


def read(body: ChunkedBody, *pieces: Data) -> tuple[bytes, int, bool]:
    """Feeds pieces in turn: all output, how many bytes were used, whether it is done."""
    out, total, done = b"", 0, False
    for piece in pieces:
        piece_out, used, done = body.feed(piece)
        out += piece_out
        total += used
        if done:
            break
    return out, total, done


def in_bytes(raw: bytes) -> list[bytes]:
    return [raw[n : n + 1] for n in range(len(raw))]


def refusal(raw: bytes, limits: ChunkLimits | None = None) -> BadMessage:
    """The error for raw, which must be the same whole and byte by byte."""
    errors = []
    for pieces in ([raw], in_bytes(raw), [memoryview(raw)]):
        with pytest.raises(BadMessage) as caught:
            read(ChunkedBody(limits) if limits else ChunkedBody(), *pieces)
        errors.append(caught.value)
    assert {error.status for error in errors} == {errors[0].status}
    return errors[0]


GOOD = [
    # input, chunked again, bare
    (b"0\r\n\r\n", b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"A\r\n0123456789\r\n0\r\n\r\n", b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    (b"005\r\nhello\r\n000\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"2\r\n\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"2\r\n\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"\r\nx"),
    (b"1;a\r\nx\r\n0;b\r\n\r\n", b"1\r\nx\r\n0\r\n\r\n", b"x"),
    (b'1 ; a = b ;c="d\\";\x80"\r\nx\r\n0\r\n\r\n', b"1\r\nx\r\n0\r\n\r\n", b"x"),
    (
        b"1\r\nx\r\n1;e\r\ny\r\n1\r\nz\r\n0\r\n\r\n",
        b"1\r\nx\r\n1\r\ny\r\n1\r\nz\r\n0\r\n\r\n",
        b"xyz",
    ),
    (b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"x"),
    (
        b"0\r\nContent-Length: 5\r\nHost: b\r\nX-Forwarded-For: 1\r\nAuthorization: x\r\n"
        b"transfer-encoding: chunked\r\nSet-Cookie: a\r\nX-Sum: 1\r\n\r\n",
        b"0\r\nX-Sum: 1\r\n\r\n",
        b"",
    ),
]


@pytest.mark.parametrize(("raw", "chunked", "bare"), GOOD)
def test_chunks_are_read_and_written_anew(raw: bytes, chunked: bytes, bare: bytes) -> None:
    whole = raw + b"GET / HTTP/1.1\r\n"
    for pieces in ([whole], in_bytes(whole), [memoryview(whole)]):
        assert read(ChunkedBody(), *pieces) == (chunked, len(raw), True)
        assert read(ChunkedBody(rechunk=False), *pieces) == (bare, len(raw), True)


@pytest.mark.parametrize(("raw", "chunked", "bare"), GOOD)
def test_every_split_gives_the_same_body(raw: bytes, chunked: bytes, bare: bytes) -> None:
    for first in range(len(raw)):
        for second in range(first, len(raw)):
            pieces = raw[:first], raw[first:second], raw[second:]
            assert read(ChunkedBody(), *pieces) == (chunked, len(raw), True)
            assert read(ChunkedBody(rechunk=False), *pieces) == (bare, len(raw), True)


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"\t1\r\n",
        b"1_0\r\n",
        b"1,\r\n",
        b"\xef\xbc\x91\r\n",
        b"1\n",
        b"1\r1",
        b"1;\r\n",
        b"1;a=\r\n",
        b'1;a="b\r\n',
        b'1;a="b"c\r\n',
        b"1;a\x00\r\n",
        b"1;a b\r\n",
        b"1;a\nx\r\n",
        b"1;a\rb\r\n",
        b"1;\xe4\xb8\xad\r\n",
        b"10000000000000000\r\n",
        b"8000000000000000\r\n",
        b"00000000000000001\r\n",
        b"5\r\nhelloX",
        b"5\r\nhello\n",
        b"5\r\nhello\r\r",
        b"5\r\nhello\rX",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\n\rX",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\nA\r\n\r\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\rC: d\r\n\r\n",
    ],
)
def test_bad_chunks_are_refused(raw: bytes) -> None:
    assert refusal(raw).status == 400
    assert refusal(raw, RESPONSE_CHUNKS).status == 502
    assert refusal(b"2\r\nab\r\n" + raw).status == 400


def test_spaces_after_a_size_are_dropped_from_responses_only() -> None:
    raw = b"5    \r\nhello\r\n1; a  \r\nx\r\n0 \r\n\r\n"
    for pieces in ([raw], in_bytes(raw)):
        body = ChunkedBody(RESPONSE_CHUNKS)
        assert read(body, *pieces) == (b"5\r\nhello\r\n1\r\nx\r\n0\r\n\r\n", len(raw), True)
    assert refusal(b"1\t\r\n", RESPONSE_CHUNKS).status == 502
    assert refusal(b" \r\n", RESPONSE_CHUNKS).status == 502
    assert refusal(b"1 \r\n").status == 400


def test_nothing_of_a_bad_chunk_is_taken_for_data() -> None:
    body = ChunkedBody()
    assert body.feed(b"3\r\nab") == (b"3\r\nab", 5, False)
    with pytest.raises(BadMessage):
        body.feed(b"cd\r\n")


@pytest.mark.parametrize(
    ("fits", "too_much", "detail"),
    [
        (b"1;" + b"e" * 8 + b"\r\nx\r\n", b"1;" + b"e" * 9 + b"\r\n", "size line"),
        (b"1;ee\r\nx\r\n" * 6 + b"1\r\n", b"1;ee\r\nx\r\n" * 7, "extensions"),
        (b"0\r\nA: bc\r\nA: bc\r\n\r\n", b"0\r\n" + b"A: bc\r\n" * 3 + b"\r\n", "more than 2"),
        (
            b"0\r\nA: " + b"b" * 25 + b"\r\n\r\n",
            b"0\r\nA: " + b"b" * 30 + b"\r\n\r\n",
            "larger than 30",
        ),
        (
            b"0\r\nA: b\r\nA: " + b"b" * 19 + b"\r\n\r\n",
            b"0\r\nA: b\r\nA: " + b"b" * 24,
            "larger than 30",
        ),
    ],
)
def test_limits(fits: bytes, too_much: bytes, detail: str) -> None:
    limits = ChunkLimits(line=10, extension_bytes=20, trailer_bytes=30, trailers=2)
    read(ChunkedBody(limits), fits)
    read(ChunkedBody(limits), *in_bytes(fits))
    assert detail in refusal(too_much, limits).detail


def test_endless_lines_are_refused_at_their_limit() -> None:
    limits = ChunkLimits(line=100, trailer_bytes=100)
    for start in (b"1;", b"0\r\nA: "):
        body = ChunkedBody(limits)
        body.feed(start)
        with pytest.raises(BadMessage):
            read(body, *[b"a"] * 102)


def test_large_data_passes_uncopied() -> None:
    body = ChunkedBody()
    assert body.feed(b"100000\r\n") == (b"100000\r\n", 8, False)
    data = b"x" * 65536
    for _ in range(15):
        out, used, done = body.feed(data)
        assert out is data
        assert (used, done) == (65536, False)
    last = data + b"\r\n0\r\n\r\nnext"
    out, used, done = body.feed(last)
    assert isinstance(out, memoryview)
    assert out.obj is last
    assert (bytes(out), used, done) == (data + b"\r\n0\r\n\r\n", 65543, True)


def test_feeding_a_finished_body_uses_nothing() -> None:
    body = ChunkedBody()
    body.feed(b"0\r\n\r\n")
    assert body.feed(b"5\r\nhello") == (b"", 0, True)
    assert body.feed(b"") == (b"", 0, True)


def test_feeding_nothing_changes_nothing() -> None:
    body = ChunkedBody()
    for piece in (b"", b"1", b"", b"\r", b"", b"\n", b"", b"x", b"", b"\r\n0\r\n", b"", b"\r\n"):
        _, used, done = body.feed(piece)
        assert used == len(piece)
    assert done


def test_body_of_known_length() -> None:
    body = LengthBody(5)
    assert body.feed(b"ab") == (b"ab", 2, False)
    assert body.feed(memoryview(b"c")) == (b"c", 1, False)
    assert body.feed(b"") == (b"", 0, False)
    assert body.feed(b"deGET") == (b"de", 2, True)
    assert body.feed(b"GET") == (b"", 0, True)
    assert LengthBody(3).feed(b"abc") == (b"abc", 3, True)
    assert LengthBody(0).feed(b"abc") == (b"", 0, True)


def test_body_ended_by_the_connection() -> None:
    assert CloseBody().feed(b"abc") == (b"abc", 3, False)
