"""The examples of RFC 9001 appendix A and RFC 9369 appendix A (`data/quic/rfc*.bin`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gate.wire.quic import (
    ClientFlight,
    InitialKeys,
    PacketType,
    Version,
    pull_long_header,
    pull_packets,
    retry_tag,
)
from gate.wire.quic.frames import pull_initial_frames
from gate.wire.quic.keys import Hmac, decode_packet_number

DATA = Path(__file__).parent / "data" / "quic"
DCID = bytes.fromhex("8394c8f03e515708")
SERVER_CID = bytes.fromhex("f067a5502a4262b5")
RFC = {Version.V1: "rfc9001", Version.V2: "rfc9369"}


@pytest.fixture(params=list(RFC), ids=list(RFC.values()))
def version(request: pytest.FixtureRequest) -> Version:
    return Version(request.param)


def example(version: Version, packet: str) -> bytes:
    return (DATA / f"{RFC[version]}-{packet}.bin").read_bytes()


def test_the_clients_initial(version: Version) -> None:
    datagram = example(version, "client-initial")
    (packet,) = pull_packets(datagram)
    assert (packet.version, packet.type) == (version, PacketType.INITIAL)
    assert (packet.dcid, packet.scid, packet.token) == (DCID, b"", b"")
    assert (packet.start, packet.end) == (0, 1200)
    number, frames = InitialKeys(DCID, version).client.open(datagram, packet, -1)
    assert number == 2
    ((offset, data),) = pull_initial_frames(frames).crypto
    assert (offset, len(data)) == (0, 241)
    (hello,) = ClientFlight(DCID).take(datagram, [packet]).hellos
    assert hello.sni == b"example.com"


def test_sealing_gives_the_clients_initial_again(version: Version) -> None:
    datagram = example(version, "client-initial")
    packet = pull_long_header(datagram)
    keys = InitialKeys(DCID, version).client
    number, frames = keys.open(datagram, packet, -1)
    header = bytes([datagram[0] & 0xF0 | 3]) + datagram[1 : packet.payload]
    assert keys.seal(header + number.to_bytes(4, "big"), number, frames) == datagram


def test_the_servers_initial(version: Version) -> None:
    datagram = example(version, "server-initial")
    packet = pull_long_header(datagram)
    assert (packet.type, packet.dcid, packet.scid) == (PacketType.INITIAL, b"", SERVER_CID)
    number, frames = InitialKeys(DCID, version).server.open(datagram, packet, -1)
    assert number == 1
    ((offset, data),) = pull_initial_frames(frames).crypto
    assert (offset, len(data), data[:1]) == (0, 90, b"\x02")


def test_the_retry(version: Version) -> None:
    datagram = example(version, "retry")
    packet = pull_long_header(datagram)
    assert (packet.type, packet.scid, packet.token) == (PacketType.RETRY, SERVER_CID, b"token")
    assert datagram[packet.payload :] == retry_tag(datagram[: packet.payload], DCID, version)


@pytest.mark.parametrize(
    ("largest", "truncated", "bits", "number"),
    [
        (0xA82F30EA, 0x9B32, 16, 0xA82F9B32),  # RFC 9000 appendix A.3
        (-1, 0, 8, 0),
        (-1, 0xFF, 8, 0xFF),
        (-1, 0x12345678, 32, 0x12345678),
        (0xFF, 0x00, 8, 0x100),
        (0x100, 0xFF, 8, 0xFF),
        (0x17F, 0x02, 8, 0x102),
        (0x17F, 0x00, 8, 0x200),
        ((1 << 62) - 2, 0xFF, 8, (1 << 62) - 1),
    ],
)
def test_packet_numbers_are_the_nearest_to_what_is_expected(
    largest: int, truncated: int, bits: int, number: int
) -> None:
    assert decode_packet_number(truncated, bits, largest + 1) == number


@pytest.mark.parametrize("size", [0, 1, 20, 32, 63, 64])
def test_hmac_is_that_of_the_library(size: int) -> None:
    key, message = bytes(range(size)), b"what is said"
    theirs = HMAC(key, hashes.SHA256())
    theirs.update(message)
    assert Hmac(key).digest(message) == theirs.finalize()


def test_one_block_of_hkdf_is_that_of_the_library() -> None:
    info = b"\0\x10\x0etls13 quic key\0"
    theirs = HKDFExpand(hashes.SHA256(), 16, info).derive(b"k" * 32)
    assert Hmac(b"k" * 32).digest(info + b"\x01")[:16] == theirs
