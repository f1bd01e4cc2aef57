"""Chunked bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gate.wire.http1 import REQUEST_CHUNKS, RESPONSE_CHUNKS, BadMessage, ChunkedBody, ChunkLimits
from tests.fuzz.targets import in_two, now_and_then
from tests.native import oracle

TOKENS = (
    *(b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\n", b";a=b\r\n", b';a="b"', b"00005\r\n", b"A\r\n"),
    *(
        b"5   \r\n",
        b"5\t;\r\n",
        b";\r\n",
        b"ffffffffffffffff\r\n",
        b"Content-Length: 1\r\n",
        b"X: y\r\n",
        b"\r\n\r\n",
    ),
    *(b"5\nhello\n", b"0\n\n", b"5;a\n", b"X: y\n", b"\n"),
)

# RFC 9112 7.1 without extensions and leading zeros: what the gate writes itself.
_CANONICAL_END = re.compile(rb"0\r\n(?:[!#-'*+.^-z|~A-Z0-9-]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*\r\n")
_SIZE = re.compile(rb"([1-9A-Fa-f][0-9A-Fa-f]{0,15})\r\n")

Outcome = tuple[bytes, int, bool] | None
"""Output, bytes used, done; None if the body was refused."""


def check(data: bytes) -> None:
    """Cuts change nothing; what is complete is written in canonical form, with the same data."""
    oracle.same_chunks([*in_two(data)])
    limits = REQUEST_CHUNKS if len(data) & 2 else RESPONSE_CHUNKS
    chunked, bare = check_cuts(data, limits, True), check_cuts(data, limits, False)
    if chunked is None or bare is None:
        assert chunked is bare
        return
    assert chunked[1:] == bare[1:]
    if chunked[2]:
        assert data_of(chunked[0]) == bare[0]
        assert read([chunked[0]], limits, True) == (chunked[0], len(chunked[0]), True)


def parse(data: bytes) -> object:
    """A body once, chunked again."""
    return read([data], RESPONSE_CHUNKS, True)


def check_cuts(data: bytes, limits: ChunkLimits, rechunk: bool) -> Outcome:
    """What a reader makes of the whole, and of any portions."""
    whole = read([data], limits, rechunk)
    if rechunk or len(data) & 1:
        assert same(read(in_two(data), limits, rechunk), whole)
    if now_and_then(data):
        assert same(read([memoryview(data)], limits, rechunk), whole)
        bytewise = [data[at : at + 1] for at in range(len(data))]
        assert same(read(bytewise, limits, rechunk), whole)
    return whole


def read(portions: Iterable[bytes | memoryview], limits: ChunkLimits, rechunk: bool) -> Outcome:
    """What a reader makes of a body in `portions`."""
    body = ChunkedBody(limits, rechunk=rechunk)
    out, used = bytearray(), 0
    try:
        for portion in portions:
            if not portion:
                continue
            piece, took, done = body.feed(portion)
            out += piece
            used += took
            assert done or took == len(portion)
            if done:
                return bytes(out), used, True
    except BadMessage as error:
        assert error.status == (502 if limits.response else 400)
        assert error.detail
        return None
    return bytes(out), used, False


def same(one: Outcome, other: Outcome) -> bool:
    """Equal, but for where output that is not finished is held back."""
    if one is None or other is None or one[2] or other[2]:
        return one == other
    return one[1] == other[1] and (one[0].startswith(other[0]) or other[0].startswith(one[0]))


def data_of(chunked: bytes) -> bytes:
    """The data in a body in canonical form, read by hand."""
    data, at = bytearray(), 0
    while size := _SIZE.match(chunked, at):
        end = size.end() + int(size[1], 16)
        data += chunked[size.end() : end]
        assert chunked[end : end + 2] == b"\r\n"
        at = end + 2
    assert _CANONICAL_END.fullmatch(chunked, at)
    return bytes(data)
