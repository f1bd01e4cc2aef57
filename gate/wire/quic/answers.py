"""What the gate itself sends to a client: refusals and Version Negotiation, both without state."""

from __future__ import annotations

import secrets
from typing import Final

from gate.wire.quic.frames import CONNECTION_REFUSED, push_close
from gate.wire.quic.keys import TAG, SideKeys
from gate.wire.quic.packet import (
    LONG,
    SMALLEST_INITIAL,
    TYPE_BITS,
    InvariantHeader,
    LongHeader,
    PacketType,
    Version,
)

OFFERED: Final = (Version.V1, Version.V2)
_FIXED: Final = 0x40
_NUMBER: Final = 4  # bytes of the packet number


def refusal(packet: LongHeader, keys: SideKeys, *, number: int = 0) -> bytes:
    """Return a datagram that refuses the connection of which `packet` is one.

    `keys` are the server's, and `number` is to be one that the server has not used. It is padded
    to 1,200 bytes, which is never more than what it answers: some clients take no smaller one (RFC
    9000 section 14.1 asks for it only where the client is to acknowledge). The client's own choice
    of a connection ID becomes the server's.
    """
    head = (
        bytes([LONG | _FIXED | TYPE_BITS[packet.version][PacketType.INITIAL] | _NUMBER - 1])
        + packet.version.to_bytes(4, "big")
        + _with_length(packet.scid)
        + _with_length(packet.dcid)
        + b"\0"  # no token
    )
    rest = SMALLEST_INITIAL - len(head) - 2
    payload = push_close(CONNECTION_REFUSED).ljust(rest - _NUMBER - TAG, b"\0")
    header = head + (0x4000 | rest).to_bytes(2, "big") + number.to_bytes(_NUMBER, "big")
    return keys.seal(header, number, payload)


def version_negotiation(header: InvariantHeader) -> bytes:
    """Return the answer to a packet of a version that is not known (RFC 9000 section 17.2.1)."""
    versions = b"".join(version.to_bytes(4, "big") for version in OFFERED)
    return (
        bytes([LONG | _FIXED | secrets.randbits(6)])
        + Version.NEGOTIATION.to_bytes(4, "big")
        + _with_length(header.scid)
        + _with_length(header.dcid)
        + versions
    )


def _with_length(cid: bytes) -> bytes:
    return bytes([len(cid)]) + cid
