"""QUIC datagrams: as they came, and as what follows a client's Initial."""

from __future__ import annotations

from aioquic.buffer import Buffer, BufferReadError
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from gate.wire.quic import (
    BadPacket,
    LongHeader,
    PacketType,
    QuicFault,
    Version,
    check_opening,
    pull_invariant_header,
    pull_packets,
    version_negotiation,
)
from tests.fuzz.targets import in_two
from tests.harness.initial import TYPES, long_header

TOKENS = (
    *(b"\xc0\x00\x00\x00\x01", b"\xd0\x6b\x33\x43\xcf", b"\xc0\x00\x00\x00\x00", b"\xe0", b"\xf0"),
    *(b"\x08dddddddd", b"\x00", b"\x14", b"\x40\x00", b"\x80\x00\x00\x10", b"\xff" * 8),
)
_FIRST = long_header("initial", b"d" * 8, b"s" * 8, size=24) + bytes(20)
_KINDS = {
    QuicPacketType.INITIAL: PacketType.INITIAL,
    QuicPacketType.ZERO_RTT: PacketType.ZERO_RTT,
    QuicPacketType.HANDSHAKE: PacketType.HANDSHAKE,
    QuicPacketType.RETRY: PacketType.RETRY,
}


def check(data: bytes) -> None:
    """Only BadPacket is raised; packets lie side by side; aioquic reads every one alike."""
    for datagram in (b"\xc0" + data, _FIRST + data):
        check_datagram(datagram)


def parse(data: bytes) -> object:
    """A datagram with an empty packet in front of the data."""
    return read(long_header("handshake", b"", b"", size=4) + data)


def check_datagram(datagram: bytes) -> None:
    """The same for bytes that begin with a long header."""
    packets = read(datagram)
    negotiation(datagram)
    if isinstance(packets, QuicFault):
        return
    at = 0
    for packet in packets:
        assert packet.start == at < packet.payload <= packet.end <= len(datagram)
        assert (packet.dcid, packet.scid) == (packets[0].dcid, packets[0].scid)
        assert packet.type is not PacketType.RETRY
        compare(datagram, packet)
        at = packet.end
    assert at == len(datagram) or datagram[at] < 0x80
    start, _ = in_two(datagram[:at])
    if 0 < len(start) < at:  # nothing that is cut reads as what it was
        cut = read(start)
        assert isinstance(cut, QuicFault) or [one.end for one in cut] != [
            one.end for one in packets
        ]
    try:
        check_opening(datagram, packets)
    except BadPacket:
        return
    assert len(datagram) >= 1200
    assert 8 <= len(packets[0].dcid) <= 20


def read(datagram: bytes) -> list[LongHeader] | QuicFault:
    """What the parser says."""
    try:
        return pull_packets(datagram)
    except BadPacket as error:
        assert error.detail
        return error.kind


def compare(datagram: bytes, packet: LongHeader) -> None:
    """aioquic reads the header alike, if the fixed bit is set, without which it reads nothing."""
    rest = bytes([datagram[packet.start] | 0x40]) + datagram[packet.start + 1 :]
    try:
        theirs = pull_quic_header(Buffer(data=rest))
    except (BufferReadError, ValueError) as error:
        raise AssertionError(f"aioquic refuses it: {error}") from error
    assert theirs.version == packet.version
    assert _KINDS[theirs.packet_type] is packet.type
    assert TYPES[packet.type.name.lower()] == packet.type
    assert (theirs.destination_cid, theirs.source_cid) == (packet.dcid, packet.scid)
    assert theirs.token == packet.token
    assert theirs.packet_length == packet.end - packet.start


def negotiation(datagram: bytes) -> None:
    """Whatever can be answered by Version Negotiation is answered with its IDs swapped."""
    try:
        asked = pull_invariant_header(datagram)
    except BadPacket:
        return
    said = pull_invariant_header(version_negotiation(asked))
    assert (said.version, said.dcid, said.scid) == (Version.NEGOTIATION, asked.scid, asked.dcid)
