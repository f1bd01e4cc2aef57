"""Frames of an Initial packet: CRYPTO is what is looked for, and few others are allowed.

RFC 9000 section 12.4 (table 3) lets an Initial carry PADDING, PING, ACK, CRYPTO and a
CONNECTION_CLOSE of the transport; section 19 has their forms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gate.wire.quic.errors import BadFlight, QuicFault
from gate.wire.quic.packet import pull_varint, push_varint


class FrameType(IntEnum):
    """The frames that an Initial may carry."""

    PADDING = 0x00
    PING = 0x01
    ACK = 0x02
    ACK_ECN = 0x03
    CRYPTO = 0x06
    CONNECTION_CLOSE = 0x1C


CONNECTION_REFUSED: Final = 0x02
"""The transport error by which a server refuses a connection (RFC 9000 section 20.1)."""

_ZEROS: Final = bytes(1 << 16)
_not_padding = re.compile(rb"[^\0]").search
_CRYPTO: Final = int(FrameType.CRYPTO)
_PING: Final = int(FrameType.PING)
_ACKS: Final = (int(FrameType.ACK), int(FrameType.ACK_ECN))
_CLOSE: Final = int(FrameType.CONNECTION_CLOSE)


@dataclass(slots=True)
class InitialFrames:
    """What the frames of one Initial come to: pieces of the CRYPTO stream, and whether it closes.

    A piece is its offset in the stream and its bytes.
    """

    crypto: list[tuple[int, bytes]]
    closes: bool = False


def pull_initial_frames(payload: bytes) -> InitialFrames:
    """Return all frames of an Initial's payload.

    Raises BadFlight for one that is cut or not allowed.
    """
    frames = InitialFrames([])
    at, end, looked = 0, len(payload), False
    if not payload:  # RFC 9000 section 12.4
        raise BadFlight(QuicFault.bad_frame, "an Initial without frames")
    try:
        while at < end:
            kind = payload[at]
            at += 1
            if kind == _CRYPTO:
                offset, at = pull_varint(payload, at)
                size, at = pull_varint(payload, at)
                if at + size > end:
                    raise IndexError(at)
                frames.crypto.append((offset, payload[at : at + size]))
                at += size
            elif kind == 0:
                if not looked:  # once: nearly all padding is behind the last frame
                    looked = True
                    if payload[at:] == _ZEROS[: end - at]:
                        break
                more = _not_padding(payload, at)
                at = end if more is None else more.start()
            elif kind in _ACKS:
                at = _skip_ack(payload, at, kind == FrameType.ACK_ECN)
            elif kind == _CLOSE:
                frames.closes = True
                at = _skip_close(payload, at)
            elif kind != _PING:
                # RFC 9000 12.4: a type must have its shortest form, and these all fit in a byte.
                raise BadFlight(QuicFault.illegal_frame, f"a frame of type {kind:#04x}")
    except IndexError:
        raise BadFlight(QuicFault.bad_frame, "a frame goes on past its packet") from None
    return frames


def _skip_ack(payload: bytes, at: int, with_ecn: bool) -> int:
    """Return where the ACK ends whose type precedes `at` (RFC 9000 section 19.3)."""
    largest, at = pull_varint(payload, at)
    _, at = pull_varint(payload, at)
    ranges, at = pull_varint(payload, at)
    first, at = pull_varint(payload, at)
    smallest = largest - first
    for _ in range(ranges):
        gap, at = pull_varint(payload, at)
        length, at = pull_varint(payload, at)
        smallest -= gap + length + 2
    if smallest < 0:
        raise BadFlight(QuicFault.bad_frame, "an ACK of packet numbers below zero")
    for _ in range(3 if with_ecn else 0):
        _, at = pull_varint(payload, at)
    return at


def _skip_close(payload: bytes, at: int) -> int:
    """Return where the CONNECTION_CLOSE ends whose type precedes `at` (RFC 9000 section 19.19)."""
    _, at = pull_varint(payload, at)
    _, at = pull_varint(payload, at)
    size, at = pull_varint(payload, at)
    if at + size > len(payload):
        raise IndexError(at)
    return at + size


def push_close(error: int) -> bytes:
    """Return the transport's CONNECTION_CLOSE with a code, no frame to blame and no words."""
    return bytes([FrameType.CONNECTION_CLOSE]) + push_varint(error) + b"\0\0"
