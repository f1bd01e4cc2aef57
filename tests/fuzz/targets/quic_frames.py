"""The payload of a QUIC Initial: frames, and the CRYPTO stream that they make."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from zlib import crc32

from aioquic.buffer import Buffer, BufferReadError
from aioquic.quic.packet import pull_ack_frame

from gate.wire.quic import MAX_STREAM, BadFlight, CryptoStream, QuicFault
from gate.wire.quic.frames import InitialFrames, pull_initial_frames
from tests.wire.plain_stream import PlainStream, Refused

TOKENS = (
    *(b"\x06\x00\x05hello", b"\x06\x05\x02ab", b"\x06\x40\x00", b"\x06\xff\xff\xff\xff\xff\xff"),
    *(b"\x01", b"\x02\x07\x00\x00\x00", b"\x03\x01\x00\x00\x00\x00\x00\x00", b"\x02\x40\x07\x00"),
    *(b"\x1c\x02\x00\x00", b"\x1d", b"\x08", b"\x00\x00\x00", b"\x80\x00\x00\x01"),
)

MAX_INPUT = 1500
"""A packet's payload fits in a datagram."""


class Illegal(Exception):
    """A frame that no Initial has."""


def check(data: bytes) -> None:
    """Only BadFlight is raised; a second, plain reader agrees, on frames and on the stream."""
    ours = read(data)
    try:
        expected = list(plain(data))
    except (Illegal, BufferReadError, ValueError):
        assert isinstance(ours, QuicFault)
        return
    if not data:
        assert ours is QuicFault.bad_frame
        return
    assert isinstance(ours, InitialFrames)
    assert ours.crypto == [piece for piece in expected if isinstance(piece, tuple)]
    assert ours.closes is ("close" in expected)
    check_stream(ours.crypto)


def parse(data: bytes) -> object:
    """The frames, and a stream of a byte out of each CRYPTO frame, from the end."""
    pieces = [(at, piece[:1]) for at, (_, piece) in enumerate(read_pieces(data)) if at < MAX_STREAM]
    return stream_of(reversed(pieces))


def check_stream(pieces: list[tuple[int, bytes]]) -> None:
    """The stream is that of a plain one, however the pieces are ordered, or both refuse."""
    bounded = [(at, data) for at, data in pieces if at + len(data) <= MAX_STREAM]
    plain_one = PlainStream()
    try:
        for offset, data in bounded:
            plain_one.add(offset, data)
    except Refused:
        assert stream_of(iter(bounded)) is QuicFault.overlap
        assert stream_of(reversed(bounded)) is QuicFault.overlap
        return
    for order in (bounded, another_order(bounded)):
        stream = stream_of(iter(order))
        assert isinstance(stream, CryptoStream)
        assert bytes(stream.whole) == plain_one.whole
        assert stream.gap is plain_one.gap
    if len(bounded) < len(pieces):
        assert stream_of(iter(pieces)) in (QuicFault.too_large, QuicFault.overlap)


def another_order(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return the pieces from their end, or twice, or shuffled, as the pieces themselves decide."""
    lot = crc32(b"".join(piece for _, piece in pieces), len(pieces))
    way = lot % 3
    if way == 0:
        return pieces[::-1]
    return pieces + pieces if way == 1 else Random(lot).sample(pieces, len(pieces))


def read(payload: bytes) -> InitialFrames | QuicFault:
    """What the parser says."""
    try:
        return pull_initial_frames(payload)
    except BadFlight as error:
        assert error.detail
        return error.kind


def read_pieces(payload: bytes) -> list[tuple[int, bytes]]:
    """The CRYPTO pieces of a payload that is right."""
    frames = read(payload)
    return frames.crypto if isinstance(frames, InitialFrames) else []


def stream_of(pieces: Iterator[tuple[int, bytes]]) -> CryptoStream | QuicFault:
    """The stream that pieces make, or why not."""
    stream = CryptoStream()
    try:
        for offset, data in pieces:
            stream.add(offset, data)
    except BadFlight as error:
        assert error.detail
        return error.kind
    return stream


def plain(payload: bytes) -> Iterator[tuple[int, bytes] | str]:
    """RFC 9000 section 19, a frame at a time, with aioquic's own readers."""
    buffer = Buffer(data=payload)
    while not buffer.eof():
        kind = buffer.pull_uint8()
        if kind == 0x00:
            buffer.seek(len(payload) - len(payload[buffer.tell() :].lstrip(b"\0")))
        elif kind == 0x06:
            offset = buffer.pull_uint_var()
            yield offset, buffer.pull_bytes(buffer.pull_uint_var())
        elif kind in (0x02, 0x03):
            pull_ack(buffer, kind)
        elif kind == 0x1C:
            buffer.pull_uint_var()
            buffer.pull_uint_var()
            buffer.pull_bytes(buffer.pull_uint_var())
            yield "close"
        elif kind != 0x01:
            raise Illegal


def pull_ack(buffer: Buffer, kind: int) -> None:
    """RFC 9000 section 19.3; ranges below zero are refused."""
    start = buffer.tell()
    largest, _, count, first = (buffer.pull_uint_var() for _ in range(4))
    smallest = largest - first
    for _ in range(count):
        smallest -= buffer.pull_uint_var() + 2
        smallest -= buffer.pull_uint_var()
    for _ in range(3 if kind == 0x03 else 0):
        buffer.pull_uint_var()
    if smallest < 0:
        raise Illegal
    end = buffer.tell()
    buffer.seek(start)
    pull_ack_frame(buffer)  # aioquic takes it, too
    assert buffer.tell() == end or kind == 0x03  # it leaves the three counts to its caller
    buffer.seek(end)
