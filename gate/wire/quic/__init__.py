"""What name does a QUIC client ask for? A sans-IO reader of its first packets.

    datagram -> packets (packet) -> opened (keys) -> frames -> CRYPTO stream -> ClientHello (flight)

The keys of Initial packets derive from what stands in the first of them, so everybody on the way
can read the ClientHello, and nothing more is read. `answers` has the two datagrams that the gate
sends itself. Style and names follow aioquic.

Sources: RFC 8999, RFC 9000, RFC 9001, RFC 9369 (version 2).
"""

from gate.wire.quic.answers import refusal, version_negotiation
from gate.wire.quic.crypto_stream import MAX_STREAM, CryptoStream
from gate.wire.quic.errors import BadFlight, BadPacket, QuicError, QuicFault
from gate.wire.quic.flight import ClientFlight, Taken
from gate.wire.quic.keys import InitialKeys, initial_keys, retry_tag
from gate.wire.quic.packet import (
    LONG,
    SMALLEST_INITIAL,
    InvariantHeader,
    LongHeader,
    PacketType,
    Version,
    check_opening,
    pull_invariant_header,
    pull_long_header,
    pull_packets,
    without_initials,
)

__all__ = [
    "LONG",
    "MAX_STREAM",
    "SMALLEST_INITIAL",
    "BadFlight",
    "BadPacket",
    "ClientFlight",
    "CryptoStream",
    "InitialKeys",
    "InvariantHeader",
    "LongHeader",
    "PacketType",
    "QuicError",
    "QuicFault",
    "Taken",
    "Version",
    "check_opening",
    "initial_keys",
    "pull_invariant_header",
    "pull_long_header",
    "pull_packets",
    "refusal",
    "retry_tag",
    "version_negotiation",
    "without_initials",
]
