"""Packet headers: the part of QUIC that everybody on the way may read.

Only long headers are read, and of those only the two versions that have keys here. All packets of
a datagram are walked, for a laxer server must not find an Initial where the gate found none: every
length must fit, and all packets must be of one connection (RFC 9000 section 12.2 has receivers
ignore the others; nothing is lost by refusing what no client sends).

Deviations: the fixed bit is not looked at, for a client may grease it (RFC 9287). What follows the
last long header begins with a clear top bit and runs to the end of the datagram: that is a 1-RTT
packet, or padding that some stacks put there, and can open no connection.

Sources: RFC 8999 (what all versions share), RFC 9000 section 17.2, RFC 9369 section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final

from gate.wire.quic.errors import BadPacket, QuicFault

SMALLEST_INITIAL: Final = 1200
"""Bytes of the smallest datagram that may carry a client's Initial (RFC 9000 section 14.1)."""
LONGEST_CID: Final = 20
"""Bytes of the longest connection ID of version 1 and 2 (RFC 9000 section 17.2)."""
SHORTEST_FIRST_CID: Final = 8
"""Bytes of the shortest ID that a client may choose for a server (RFC 9000 section 7.2)."""
LONG: Final = 0x80
"""The bit of the first byte that tells a long header from a short one (RFC 8999 section 5)."""
RETRY_TAG: Final = 16
"""Bytes of the integrity tag that ends a Retry packet (RFC 9000 section 17.2.5)."""

_uint32 = Struct(">I").unpack_from


class Version(IntEnum):
    """The versions that the gate can read, and the number that means none."""

    NEGOTIATION = 0
    V1 = 0x00000001
    V2 = 0x6B3343CF


class PacketType(IntEnum):
    """What a long header says that it is; the numbers are those of version 1."""

    INITIAL = 0
    ZERO_RTT = 1
    HANDSHAKE = 2
    RETRY = 3


# RFC 9369 section 3.2: version 2 counts the same four types from another start.
_TYPES: Final = {
    Version.V1: tuple(PacketType),
    Version.V2: (
        PacketType.RETRY,
        PacketType.INITIAL,
        PacketType.ZERO_RTT,
        PacketType.HANDSHAKE,
    ),
}
TYPE_BITS: Final = {
    version: {kind: bits << 4 for bits, kind in enumerate(types)}
    for version, types in _TYPES.items()
}
"""The two bits of the first byte for a type, by version."""


@dataclass(slots=True)
class LongHeader:
    """The header of one packet, and where it lies in its datagram.

    `start` is its first byte; `payload` that of the packet number, which is still protected (of the
    tag in a Retry); `end` is behind its last. `token` is that of an Initial or a Retry.
    """

    version: Version
    type: PacketType
    dcid: bytes
    scid: bytes
    token: bytes
    start: int
    payload: int
    end: int


@dataclass(slots=True)
class InvariantHeader:
    """What a long header of any version says (RFC 8999 section 5.1)."""

    version: int
    dcid: bytes
    scid: bytes
    end: int


def pull_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the variable-length integer at `at`, and where it ends (RFC 9000 section 16).

    Raises IndexError past the end of `data`.
    """
    first = data[at]
    if first < 0x40:
        return first, at + 1
    if first < 0x80:
        return (first & 0x3F) << 8 | data[at + 1], at + 2
    size = 4 if first < 0xC0 else 8
    data[at + size - 1]  # there, or IndexError
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def push_varint(value: int) -> bytes:
    """Return the shortest encoding of `value`. Raises OverflowError from 2**62 on."""
    for bits, size in enumerate((1, 2, 4, 8)):
        if value < 1 << (8 * size - 2):
            return (value | bits << (8 * size - 2)).to_bytes(size, "big")
    raise OverflowError(f"{value} does not fit in 62 bits")


def pull_connection_id(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the connection ID whose length stands at `at`, and where it ends.

    Raises IndexError past the end of `data`.
    """
    end = at + 1 + data[at]
    if end > len(data):
        raise IndexError(end)
    return data[at + 1 : end], end


def pull_invariant_header(data: bytes, at: int = 0) -> InvariantHeader:
    """Return the long header at `at` as far as every version has it.

    Raises BadPacket where it is cut.
    """
    try:
        (version,) = _uint32(data, at + 1)
        dcid, end = pull_connection_id(data, at + 5)
        scid, end = pull_connection_id(data, end)
    except (IndexError, StructError):
        raise BadPacket(QuicFault.truncated, "the header goes on past the datagram") from None
    return InvariantHeader(version, dcid, scid, end)


def pull_long_header(data: bytes, at: int = 0) -> LongHeader:
    """Return the header of the packet at `at`, of a version that has keys here.

    Raises BadPacket.
    """
    opening = pull_invariant_header(data, at)
    try:
        version = Version(opening.version)
        kind = _TYPES[version][data[at] >> 4 & 3]
    except (ValueError, KeyError):
        raise BadPacket(
            QuicFault.unknown_version, f"a packet of version {opening.version:#010x}"
        ) from None
    if len(opening.dcid) > LONGEST_CID or len(opening.scid) > LONGEST_CID:
        raise BadPacket(
            QuicFault.bad_connection_id, f"a connection ID of more than {LONGEST_CID} bytes"
        )
    token, payload = b"", opening.end
    if kind is PacketType.RETRY:
        end = len(data)
        payload = end - RETRY_TAG
        if payload < opening.end:
            raise BadPacket(QuicFault.truncated, "a Retry without its tag")
        token = data[opening.end : payload]
    else:
        try:
            if kind is PacketType.INITIAL:
                size, payload = pull_varint(data, payload)
                token = data[payload : payload + size]
                payload += size
            size, payload = pull_varint(data, payload)
        except IndexError:
            raise BadPacket(QuicFault.truncated, "the header goes on past the datagram") from None
        end = payload + size
        if end > len(data):
            raise BadPacket(
                QuicFault.bad_length, f"a packet of {size} bytes, {len(data) - payload} are there"
            )
    return LongHeader(version, kind, opening.dcid, opening.scid, token, at, payload, end)


def pull_packets(datagram: bytes) -> list[LongHeader]:
    """Return the long headers of all packets in a client's datagram, in their order; at least one.

    Raises BadPacket where a packet can't be read, where one is none that a client sends, or where
    two are of different connections. `datagram` begins with a long header.
    """
    first = pull_long_header(datagram)
    packets = [first]
    at = first.end
    while at < len(datagram) and datagram[at] & LONG:
        packet = pull_long_header(datagram, at)
        if packet.dcid != first.dcid or packet.scid != first.scid:
            raise BadPacket(QuicFault.two_connections, "packets of two connections in one datagram")
        packets.append(packet)
        at = packet.end
    for packet in packets:
        if packet.type is PacketType.RETRY:
            raise BadPacket(QuicFault.not_for_servers, "a Retry, which only servers send")
    return packets


def without_initials(datagram: bytes, packets: list[LongHeader]) -> bytes:
    """Return a client's datagram without its Initials, b"" if that leaves nothing but padding."""
    others = [packet for packet in packets if packet.type is not PacketType.INITIAL]
    rest = datagram[packets[-1].end :]
    if not others and not any(rest):
        return b""
    return b"".join(datagram[packet.start : packet.end] for packet in others) + rest


def check_opening(datagram: bytes, packets: list[LongHeader]) -> None:
    """Raise BadPacket if a server may take nothing of `datagram` for the start of a connection."""
    if len(datagram) < SMALLEST_INITIAL:
        raise BadPacket(
            QuicFault.small_datagram,
            f"an Initial in a datagram of {len(datagram)} bytes, {SMALLEST_INITIAL} are due",
        )
    if len(packets[0].dcid) < SHORTEST_FIRST_CID:
        raise BadPacket(
            QuicFault.bad_connection_id,
            f"a first connection ID of {len(packets[0].dcid)} bytes, {SHORTEST_FIRST_CID} are due",
        )
    if not any(packet.type is PacketType.INITIAL for packet in packets):
        raise BadPacket(QuicFault.no_initial, "no Initial in a connection's first datagram")
