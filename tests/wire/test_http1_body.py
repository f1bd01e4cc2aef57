"""Message bodies: chunked, of known length, and ended by the connection."""

from collections.abc import Sequence

import pytest

from gate.wire.http1 import (
    RESPONSE_CHUNKS,
    BadMessage,
    BadResponse,
    ChunkedBody,
    ChunkLimits,
    CloseBody,
    LengthBody,
    ResponseFault,
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
        b" \r\n",
        b";\r\n",
        b"1_0\r\n",
        b"1 0\r\n",
        b"1,\r\n",
        b"1 a\r\n",
        b"1\x0b\r\n",
        b"\xef\xbc\x91\r\n",
        b"1\r1",
        b"\n",
        b"g\n",
        b"1\r\r\n",
        b"1\r \n",
        b"1;a\x00\r\n",
        b"1;a\rb\r\n",
        b"10000000000000000\r\n",
        b"8000000000000000\r\n",
        b"00000000000000001\r\n",
        b"5\r\nhelloX",
        b"5\r\nhello\r\r",
        b"5\r\nhello\r\r\n",
        b"5\nhello \n",
        b"5\nhello\n\n",
        b"5\r\nhello\rX",
        b"5\r\nhello \r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"0\r\n\rX",
        b"0\n\rX",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\nA\r\n\r\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\nA: b\rC: d\r\n\r\n",
        b"0\r\nA: b\r\r\n\r\n",
        b"0\nA : b\n\n",
        b"0\nA: b\n c\n\n",
    ],
)
def test_bad_chunks_are_refused(raw: bytes) -> None:
    assert refusal(raw).status == 400
    of_origin = refusal(raw, RESPONSE_CHUNKS)
    assert isinstance(of_origin, BadResponse)
    assert (of_origin.status, of_origin.kind) == (502, ResponseFault.bad_chunk)
    assert refusal(b"2\r\nab\r\n" + raw).status == 400


LF_LINES = [
    # input, chunked again, bare
    (b"0\n\n", b"0\r\n\r\n", b""),
    (b"5\nhello\n0\n\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5\r\nhello\r\n0\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5\r\nhello\r\n0\r\n\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"2\n\n\n\n1\nx\n0\n\n", b"2\r\n\n\n\r\n1\r\nx\r\n0\r\n\r\n", b"\n\nx"),
    (b"1\n\r\n1\nx\n0\n\n", b"1\r\n\r\r\n1\r\nx\r\n0\r\n\r\n", b"\rx"),
    (b"005 \nhello\n1;a=b\nx\n00;\n\n", b"5\r\nhello\r\n1\r\nx\r\n0\r\n\r\n", b"hellox"),
    (b"1\nx\n0\nA: b\nC: d\n\n", b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"x"),
    (b"0\r\nA: b\nC: d\r\nE: f\n\n", b"0\r\nA: b\r\nC: d\r\nE: f\r\n\r\n", b""),
    (b"0\nHost: b\nX-Sum: 1\n\n", b"0\r\nX-Sum: 1\r\n\r\n", b""),
]


@pytest.mark.parametrize(("raw", "chunked", "bare"), LF_LINES)
def test_lines_that_end_with_lf_alone_are_taken_from_responses_only(
    raw: bytes, chunked: bytes, bare: bytes
) -> None:
    """RFC 9112 2.2: where the data ends, the sizes say; so a line can be read in one way only."""
    whole = raw + b"HTTP/1.1 200 OK\r\n"
    ways: list[Sequence[Data]] = [
        [whole[:first], whole[first:second], whole[second:]]
        for first in range(len(raw) + 1)
        for second in range(first, len(raw) + 1)
    ]
    for pieces in [*ways, in_bytes(whole), [memoryview(whole)]]:
        assert read(ChunkedBody(RESPONSE_CHUNKS), *pieces) == (chunked, len(raw), True)
        body = ChunkedBody(RESPONSE_CHUNKS, rechunk=False)
        assert read(body, *pieces) == (bare, len(raw), True)
    assert refusal(raw).status == 400


SIZE_LINES = {
    # after the size: refused in a request?
    b"": False,
    b";a": False,
    b' ; a = b ;c="d\\";\x80"': False,
    b" ": True,
    b"\t": True,
    b" \t  ": True,
    b";": True,
    b" ; ": True,
    b";;": True,
    b";a=": True,
    b";a b": True,
    b';a="b': True,
    b'\t;a="b"c': True,
    b";\xe4\xb8\xad": True,
}


@pytest.mark.parametrize(("after", "refused"), SIZE_LINES.items())
def test_what_stands_after_a_size_is_dropped_from_responses_in_any_form(
    after: bytes, refused: bool
) -> None:
    """Old origins write all sizes equally long, or a ";" with nothing behind it."""
    raw = b"05%b\r\nhello\r\n1\r\nx\r\n0%b\r\n\r\n" % (after, after)
    for pieces in ([raw], in_bytes(raw), [memoryview(raw)]):
        body = ChunkedBody(RESPONSE_CHUNKS)
        assert read(body, *pieces) == (b"5\r\nhello\r\n1\r\nx\r\n0\r\n\r\n", len(raw), True)
        body = ChunkedBody(RESPONSE_CHUNKS, rechunk=False)
        assert read(body, *pieces) == (b"hellox", len(raw), True)
    if refused:
        assert refusal(raw).status == 400


@pytest.mark.parametrize("after", [b"      ", b";"])
def test_an_origin_may_pad_every_size_of_a_long_body(after: bytes) -> None:
    raw = b"1%b\r\nx\r\n" % after * 20_000 + b"0\r\n\r\n"
    out, used, done = ChunkedBody(RESPONSE_CHUNKS, rechunk=False).feed(raw)
    assert (out, used, done) == (b"x" * 20_000, len(raw), True)


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
