"""The compiled keys of QUIC's Initials: alike the reference in all that they open and seal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.wire.quic import BadPacket, InitialKeys, LongHeader, PacketType, Version, pull_long_header
from gate.wire.quic.keys import BothKeys, SideKeys
from tests.harness.initial import Initials, long_header

quic_keys = pytest.importorskip("gate.native.quic_keys", reason="nothing was compiled")

VECTORS = Path(__file__).parent.parent / "wire" / "data" / "quic"
SIDES = ("client", "server")
versions = st.sampled_from([Version.V1, Version.V2])


def both(dcid: bytes, version: Version) -> tuple[BothKeys, BothKeys]:
    return InitialKeys(dcid, version), quic_keys.CompiledInitialKeys(dcid, version)


def opened(keys: SideKeys, datagram: bytes, packet: LongHeader, largest: int) -> object:
    """What comes of an attempt to open."""
    try:
        return keys.open(datagram, packet, largest)
    except BadPacket as error:
        return error.kind, error.detail


@pytest.mark.parametrize("name", ["rfc9001", "rfc9369"])
@pytest.mark.parametrize("side", SIDES)
def test_the_examples_of_the_rfcs(name: str, side: str) -> None:
    datagram = (VECTORS / f"{name}-{side}-initial.bin").read_bytes()
    packet = pull_long_header(datagram)
    for keys in both(bytes.fromhex("8394c8f03e515708"), packet.version):
        number, _ = getattr(keys, side).open(datagram, packet, -1)
        assert number == (2 if side == "client" else 1)


@given(
    st.binary(max_size=20),
    versions,
    st.sampled_from(SIDES),
    st.integers(0, (1 << 32) - 1),
    st.binary(min_size=16, max_size=1400),
    st.binary(max_size=60),
)
def test_what_one_seals_the_other_one_opens(
    dcid: bytes, version: Version, side: str, number: int, payload: bytes, token: bytes
) -> None:
    size = 4 + len(payload) + 16
    header = long_header("initial", dcid, b"scid", version=version, number=number, token=token,
                         size=size)  # fmt: skip
    reference, compiled = (getattr(keys, side) for keys in both(dcid, version))
    packet = reference.seal(header, number, payload)
    assert compiled.seal(header, number, payload) == packet
    parsed = pull_long_header(packet)
    assert compiled.open(packet, parsed, number - 1) == (number, payload)
    assert reference.open(packet, parsed, number - 1) == (number, payload)


@given(
    st.binary(min_size=25, max_size=120),
    st.binary(max_size=20),
    versions,
    st.integers(-1, (1 << 62) - 1),
    st.data(),
)
def test_both_open_and_refuse_alike(
    data: bytes, dcid: bytes, version: Version, largest: int, chance: st.DataObject
) -> None:
    at = chance.draw(st.integers(1, len(data)))
    end = chance.draw(st.integers(at, len(data)))
    packet = LongHeader(version, PacketType.INITIAL, dcid, b"", b"", 0, at, end)
    reference, compiled = both(dcid, version)
    assert opened(compiled.client, data, packet, largest) == opened(
        reference.client, data, packet, largest
    )


@given(versions, st.sampled_from([1, 2, 3, 4]), st.integers(0, 1 << 33), st.integers(-1, 1 << 33))
def test_packet_numbers_are_told_alike(
    version: Version, size: int, number: int, largest: int
) -> None:
    """Whatever number the last one makes of the bytes, the two make the same."""
    sending = Initials(b"d" * 8, b"", version=version)
    datagram = sending.packet(b"\x01" * 30, number=number, number_size=size)
    packet = pull_long_header(datagram)
    reference, compiled = both(b"d" * 8, version)
    assert opened(compiled.client, datagram, packet, largest) == opened(
        reference.client, datagram, packet, largest
    )


@pytest.mark.parametrize("bits", [0x04, 0x08, 0x0C])
def test_reserved_bits_are_refused_alike(bits: int) -> None:
    datagram = Initials(b"d" * 8, b"").packet(b"\x01" * 30, first=bits)
    packet = pull_long_header(datagram)
    reference, compiled = both(b"d" * 8, Version.V1)
    said = opened(compiled.client, datagram, packet, -1)
    assert said == opened(reference.client, datagram, packet, -1)
    assert said[0] == "reserved_bits"  # type: ignore[index]


def test_a_packet_outside_its_datagram_is_no_packet() -> None:
    keys = quic_keys.CompiledInitialKeys(b"d" * 8, Version.V1).client
    for start, at, end in [(0, 5, 101), (-1, 5, 50), (0, 60, 50), (7, 7, 50)]:
        packet = LongHeader(Version.V1, PacketType.INITIAL, b"", b"", b"", start, at, end)
        with pytest.raises(ValueError, match="outside"):
            keys.open(bytes(100), packet, -1)


@pytest.mark.programs
def test_without_it_the_reference_does_all() -> None:
    code = (
        "import sys; sys.modules['gate.native.quic_keys'] = None; "
        "from gate.wire.quic import initial_keys, InitialKeys; "
        "sys.exit(initial_keys is not InitialKeys)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
