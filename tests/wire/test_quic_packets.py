"""QUIC by the book and against it: what is read, and what is refused as which fault."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from gate.wire.quic import (
    MAX_STREAM,
    BadFlight,
    BadPacket,
    ClientFlight,
    CryptoStream,
    InitialKeys,
    PacketType,
    QuicError,
    QuicFault,
    Version,
    check_opening,
    pull_invariant_header,
    pull_packets,
    refusal,
    version_negotiation,
)
from gate.wire.quic.frames import InitialFrames, pull_initial_frames, push_close
from gate.wire.quic.packet import pull_varint, push_varint
from tests.harness import initial as build
from tests.harness.hello import extension
from tests.harness.initial import V1, V2, Initials, client_hello, crypto, long_header, varint

NAME = b"www.example.com.cn"
HELLO = client_hello(NAME)
D, S = b"d" * 8, b"s" * 8


def initials(**how: object) -> Initials:
    return Initials(D, S, **how)  # type: ignore[arg-type]


def zero_rtt(dcid: bytes = D, scid: bytes = S, version: int = V1) -> bytes:
    return long_header("zero_rtt", dcid, scid, version=version, size=40) + bytes(36)


# Packets.

READ: dict[str, tuple[bytes, list[PacketType]]] = {
    "one Initial": (initials().hello(NAME), [PacketType.INITIAL]),
    "of version 2": (initials(version=V2).hello(NAME), [PacketType.INITIAL]),
    "0-RTT behind the Initial": (
        initials().hello(NAME) + zero_rtt(),
        [PacketType.INITIAL, PacketType.ZERO_RTT],
    ),
    "0-RTT before the Initial (nDPI#1044)": (
        zero_rtt() + initials().hello(NAME),
        [PacketType.ZERO_RTT, PacketType.INITIAL],
    ),
    "two Initials of one connection": (
        initials().packet(crypto(0, HELLO)) + initials(number=1).packet(b"\x01"),
        [PacketType.INITIAL, PacketType.INITIAL],
    ),
    "a Handshake packet, and a 1-RTT packet to the end": (
        initials().hello(NAME)
        + long_header("handshake", D, S, size=40)
        + bytes(36)
        + b"\x40"
        + D
        + bytes(30),
        [PacketType.INITIAL, PacketType.HANDSHAKE],
    ),
    "padding behind the packet": (initials().hello(NAME) + bytes(50), [PacketType.INITIAL]),
    "a token": (initials(token=b"t" * 200).hello(NAME), [PacketType.INITIAL]),
    "no source connection ID": (Initials(D, b"").hello(NAME), [PacketType.INITIAL]),
    "a connection ID of 20 bytes": (Initials(b"d" * 20, S).hello(NAME), [PacketType.INITIAL]),
    "a fixed bit that is greased": (
        initials().packet(crypto(0, HELLO), first=0x40, pad_to=1200),
        [PacketType.INITIAL],
    ),
}


@pytest.mark.parametrize("case", READ)
def test_packets_of_a_datagram(case: str) -> None:
    datagram, kinds = READ[case]
    packets = pull_packets(datagram)
    assert [packet.type for packet in packets] == kinds
    assert [packet.start for packet in packets[1:]] == [packet.end for packet in packets[:-1]]
    flight = ClientFlight(packets[0].dcid)
    assert [hello.sni for hello in flight.take(datagram, packets).hellos] == [NAME]


def cut_at(datagram: bytes, size: int) -> bytes:
    return datagram[:size]


BAD_PACKETS = {
    "13 bytes (Xray-core#6232)": (initials().hello(NAME)[:13], QuicFault.truncated),
    "no version": (b"\xc0\0\0", QuicFault.truncated),
    "a cut connection ID": (b"\xc0\0\0\0\x01\x08abc", QuicFault.truncated),
    "no length of the source's ID": (b"\xc0\0\0\0\x01\x08" + D, QuicFault.truncated),
    "a token longer than the datagram": (
        long_header("initial", D, S, size=40)[:23] + varint(2000) + bytes(100),
        QuicFault.truncated,
    ),
    "a Length of 2**62 - 1 (Xray-core#6471)": (
        b"\xc0\0\0\0\x01\x08" + D + b"\x08" + S + b"\0" + b"\xff" * 8 + bytes(1200),
        QuicFault.bad_length,
    ),
    "a Length that ends one byte past the datagram": (
        initials().hello(NAME)[:-1],
        QuicFault.bad_length,
    ),
    "a connection ID of 21 bytes": (
        long_header("initial", b"d" * 21, S, size=40) + bytes(36),
        QuicFault.bad_connection_id,
    ),
    "a source's ID of 21 bytes": (
        long_header("initial", D, b"s" * 21, size=40) + bytes(36),
        QuicFault.bad_connection_id,
    ),
    "a Retry (rustnet#453: it has no Length)": (
        b"\xf0\0\0\0\x01\x08" + D + b"\x08" + S + b"token" + bytes(16),
        QuicFault.not_for_servers,
    ),
    "a Retry shorter than its tag": (
        b"\xf0\0\0\0\x01\x08" + D + b"\x08" + S + bytes(15),
        QuicFault.truncated,
    ),
    "Version Negotiation (rustnet#453: it has no Length)": (
        b"\xc0\0\0\0\0\x08" + D + b"\x08" + S + b"\0\0\0\x01",
        QuicFault.unknown_version,
    ),
    "version 0xff00001d": (
        long_header("initial", D, S, version=0xFF00001D, size=40) + bytes(36),
        QuicFault.unknown_version,
    ),
    "a second packet of a version that is not known": (
        initials().hello(NAME) + long_header("initial", D, S, version=3, size=40) + bytes(36),
        QuicFault.unknown_version,
    ),
    "two connections' Initials": (
        initials().packet(crypto(0, HELLO)) + Initials(b"e" * 8, S).hello(b"other.example"),
        QuicFault.two_connections,
    ),
    "an Initial beside another connection's 0-RTT": (
        zero_rtt(b"e" * 8) + initials().hello(NAME),
        QuicFault.two_connections,
    ),
    "packets of two sources": (
        initials().packet(crypto(0, HELLO)) + Initials(D, b"t" * 8).hello(NAME),
        QuicFault.two_connections,
    ),
    "a Retry behind an Initial": (
        initials().hello(NAME) + b"\xf0\0\0\0\x01\x08" + D + b"\x08" + S + bytes(20),
        QuicFault.not_for_servers,
    ),
    "a cut header behind an Initial": (
        initials().hello(NAME) + b"\xc0\0\0\0\x01",
        QuicFault.truncated,
    ),
}


@pytest.mark.parametrize("case", BAD_PACKETS)
def test_what_cannot_be_a_clients_datagram(case: str) -> None:
    datagram, kind = BAD_PACKETS[case]
    with pytest.raises(BadPacket) as caught:
        pull_packets(datagram)
    assert caught.value.kind is kind
    assert caught.value.detail


def tampered(at: int) -> bytes:
    datagram = bytearray(initials().hello(NAME))
    datagram[at] ^= 0x10
    return bytes(datagram)


OPENINGS = {
    "a datagram of 1,199 bytes": (
        initials().datagram(crypto(0, HELLO), size=1199),
        QuicFault.small_datagram,
    ),
    "a connection ID of 7 bytes": (
        Initials(b"d" * 7, S).hello(NAME),
        QuicFault.bad_connection_id,
    ),
    "only 0-RTT": (zero_rtt() + bytes(1200), QuicFault.no_initial),
    "only a Handshake packet": (
        long_header("handshake", D, S, size=40) + bytes(1200),
        QuicFault.no_initial,
    ),
}


@pytest.mark.parametrize("case", OPENINGS)
def test_what_opens_no_connection(case: str) -> None:
    datagram, kind = OPENINGS[case]
    packets = pull_packets(datagram)
    with pytest.raises(BadPacket) as caught:
        check_opening(datagram, packets)
    assert caught.value.kind is kind


def test_an_initial_of_1200_bytes_to_an_id_of_8_opens_one() -> None:
    datagram = initials().hello(NAME)
    assert len(datagram) == 1200
    check_opening(datagram, pull_packets(datagram))


UNREADABLE = {
    "a changed byte of the header": (tampered(16), QuicFault.undecryptable),
    "a changed byte of the payload": (tampered(600), QuicFault.undecryptable),
    "a changed byte of the tag": (tampered(1199), QuicFault.undecryptable),
    "keys of another connection ID": (
        initials(keyed=b"x" * 8).hello(NAME),
        QuicFault.undecryptable,
    ),
    "a reserved bit": (
        initials().packet(crypto(0, HELLO), first=0x04),
        QuicFault.reserved_bits,
    ),
    "no room for a sample": (
        long_header("initial", D, S, size=19) + bytes(15),
        QuicFault.bad_length,
    ),
    "an empty packet": (long_header("initial", D, S, size=0)[:-4], QuicFault.bad_length),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_does_not_open(case: str) -> None:
    datagram, kind = UNREADABLE[case]
    with pytest.raises(BadPacket) as caught:
        ClientFlight(D).take(datagram, pull_packets(datagram))
    assert caught.value.kind is kind


def test_a_packet_number_is_not_taken_for_0() -> None:
    """v2ray-core#2335: a client may begin with any number, in one to four bytes."""
    for number, size in [(1, 1), (255, 1), (256, 2), (70_000, 3), (0xFFFF_FFFF, 4)]:
        packet = initials().packet(crypto(0, HELLO), number=number, number_size=size, pad_to=1200)
        assert ClientFlight(D).take(packet, pull_packets(packet)).hellos


def test_packet_numbers_go_on_from_those_that_came() -> None:
    flight = ClientFlight(D)
    sending = initials(number=250)
    middle = len(HELLO) // 2
    first = sending.packet(crypto(0, HELLO[:middle]), pad_to=1200)
    flight.take(first, pull_packets(first))
    sending.number = 300  # 44 in one byte: the nearest to 251 is 300
    second = sending.packet(crypto(middle, HELLO[middle:]), number_size=1, pad_to=1200)
    assert flight.take(second, pull_packets(second)).hellos


# Frames.

ACK = b"\x02" + varint(7) + varint(20) + varint(1) + varint(2) + varint(0) + varint(1)
ACK_ECN = b"\x03" + varint(1) + varint(20) + varint(0) + varint(0) + varint(1) * 3
CLOSE = b"\x1c" + varint(0x0A) + varint(0) + varint(3) + b"why"

FRAMES: dict[str, tuple[bytes, InitialFrames]] = {
    "CRYPTO": (crypto(5, b"abc"), InitialFrames([(5, b"abc")])),
    "CRYPTO that ends with zeros": (crypto(0, b"a\0\0"), InitialFrames([(0, b"a\0\0")])),
    "PADDING before, between and behind": (
        bytes(9) + crypto(0, b"a") + bytes(3) + crypto(1, b"b") + bytes(700),
        InitialFrames([(0, b"a"), (1, b"b")]),
    ),
    "PING and ACK between": (
        b"\x01" + crypto(0, b"a") + ACK + b"\x01\x01" + crypto(1, b"b") + ACK_ECN,
        InitialFrames([(0, b"a"), (1, b"b")]),
    ),
    "an empty CRYPTO": (crypto(3, b""), InitialFrames([(3, b"")])),
    "a close": (CLOSE, InitialFrames([], closes=True)),
    "only PADDING": (bytes(40), InitialFrames([])),
    "integers in a long form": (
        b"\x06" + varint(1, 8) + varint(2, 4) + b"xy",
        InitialFrames([(1, b"xy")]),
    ),
}


@pytest.mark.parametrize("case", FRAMES)
def test_frames_of_an_initial(case: str) -> None:
    payload, frames = FRAMES[case]
    assert pull_initial_frames(payload) == frames


BAD_FRAMES: dict[str, tuple[bytes, QuicFault]] = {
    "no frames": (b"", QuicFault.bad_frame),
    "CRYPTO longer than its packet": (b"\x06\0\x05abcd", QuicFault.bad_frame),
    "CRYPTO without a length": (b"\x06\0", QuicFault.bad_frame),
    "CRYPTO of 2**62 - 1 bytes": (b"\x06\0" + b"\xff" * 8 + b"a", QuicFault.bad_frame),
    "a cut ACK": (ACK[:-1], QuicFault.bad_frame),
    "an ACK with more ranges than bytes": (
        b"\x02" + varint(9) + varint(0) + varint(1 << 40) + varint(0) + bytes(9),
        QuicFault.bad_frame,
    ),
    "an ACK below zero": (b"\x02" + varint(1) + varint(0) * 2 + varint(2), QuicFault.bad_frame),
    "an ACK whose range is below zero": (
        b"\x02" + varint(5) + varint(0) + varint(1) + varint(3) + varint(0) + varint(1),
        QuicFault.bad_frame,
    ),
    "a close whose words are cut": (CLOSE[:-1], QuicFault.bad_frame),
    "an application's close": (b"\x1d" + bytes(4), QuicFault.illegal_frame),
    "STREAM": (b"\x08" + bytes(4), QuicFault.illegal_frame),
    "NEW_CONNECTION_ID": (b"\x18" + bytes(4), QuicFault.illegal_frame),
    "HANDSHAKE_DONE": (b"\x1e", QuicFault.illegal_frame),
    "a type in two bytes": (b"\x40\x06" + b"\0\x01a", QuicFault.illegal_frame),
    "an illegal frame behind a hello": (
        crypto(0, HELLO) + b"\x08" + bytes(4),
        QuicFault.illegal_frame,
    ),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_frames_that_no_initial_has(case: str) -> None:
    payload, kind = BAD_FRAMES[case]
    with pytest.raises(BadFlight) as caught:
        pull_initial_frames(payload)
    assert caught.value.kind is kind


@pytest.mark.parametrize("value", [0, 63, 64, 16383, 16384, (1 << 30) - 1, 1 << 30, (1 << 62) - 1])
def test_integers_read_as_they_were_written(value: int) -> None:
    written = push_varint(value)
    assert written == varint(value)
    assert pull_varint(b"xx" + written, 2) == (value, 2 + len(written))
    with pytest.raises(IndexError):
        pull_varint(written[:-1], 0)


def test_an_integer_of_more_than_62_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        push_varint(1 << 62)


# The stream.


def flight_of(*frames: bytes, flight: ClientFlight | None = None) -> list[bytes | None]:
    """The names of the hellos that these frames, each in a datagram of its own, amount to."""
    flight, sending, names = flight or ClientFlight(D), initials(), []
    for each in frames:
        datagram = sending.datagram(each)
        names += [hello.sni for hello in flight.take(datagram, pull_packets(datagram)).hellos]
    return names


SPLITS: dict[str, Callable[[], list[bytes]]] = {
    "over two datagrams (sing-box#1724, caddy-l4#352, mitmproxy#7869)": lambda: [
        crypto(0, HELLO[:50]),
        crypto(50, HELLO[50:]),
    ],
    "the second half first (nDPI#1195, caddy-l4#370)": lambda: [
        crypto(50, HELLO[50:]),
        crypto(0, HELLO[:50]),
    ],
    "every byte a frame (xquic#493, lsquic#680, quic-go#5107, neqo#2387)": lambda: [
        b"".join(crypto(at, data) for at, data in build.pieces(HELLO, 1))
    ],
    "every byte a frame, from the end": lambda: [
        b"".join(crypto(at, data) for at, data in reversed(build.pieces(HELLO, 1)))
    ],
    "pieces that overlap and agree": lambda: [
        crypto(at, HELLO[max(at - 9, 0) : at + 20])
        if at == 0
        else crypto(at - 9, HELLO[at - 9 : at + 20])
        for at in range(0, len(HELLO), 20)
    ],
    "each piece twice": lambda: [
        crypto(at, data) for at, data in build.pieces(HELLO, 40) for _ in range(2)
    ],
    "a PING, an ACK and PADDING in each datagram": lambda: [
        b"\x01" + crypto(at, data) + ACK + bytes(5) for at, data in build.pieces(HELLO, 60)
    ],
}


@pytest.mark.parametrize("case", SPLITS)
def test_a_hello_in_pieces_is_judged_as_one(case: str) -> None:
    assert flight_of(*SPLITS[case]()) == [NAME]


def test_shuffled_pieces_over_datagrams_are_one_hello() -> None:
    big = client_hello(NAME, extension(51, bytes(1300)))
    for seed in range(20):
        parts = build.pieces(big, 37)
        random.Random(seed).shuffle(parts)
        frames = [crypto(at, data) for at, data in parts]
        half = len(frames) // 2
        assert flight_of(b"".join(frames[:half]), b"".join(frames[half:])) == [NAME]


OTHER = client_hello(b"xxx.example.com.cn")
DIFFERS = next(at for at in range(len(HELLO)) if HELLO[at] != OTHER[at])

BAD_FLIGHTS: dict[str, tuple[list[bytes], QuicFault]] = {
    "another hello over the first one (Xray-core#4704)": (
        [crypto(0, HELLO), crypto(0, OTHER)],
        QuicFault.overlap,
    ),
    "a byte that differs, while there is a gap": (
        [crypto(DIFFERS, HELLO[DIFFERS:]), crypto(DIFFERS - 2, OTHER[DIFFERS - 2 : DIFFERS + 1])],
        QuicFault.overlap,
    ),
    "a byte that differs, in one datagram": (
        [crypto(10, b"abc") + crypto(12, b"d")],
        QuicFault.overlap,
    ),
    "no handshake message of a client": ([crypto(0, b"\x02\0\0\x01a")], QuicFault.bad_hello),
    "a hello that is malformed": ([crypto(0, HELLO[:4] + b"\0" + HELLO[5:])], QuicFault.bad_hello),
    "bytes behind the hello that begin no other": (
        [crypto(0, HELLO + b"\x0b")],
        QuicFault.bad_hello,
    ),
    "a third hello": ([crypto(0, HELLO * 3)], QuicFault.bad_hello),
    "a hello of more than 16 KiB": (
        [crypto(0, b"\x01" + (MAX_STREAM - 3).to_bytes(3, "big"))],
        QuicFault.too_large,
    ),
    "a piece beyond 16 KiB": ([crypto(MAX_STREAM, b"a")], QuicFault.too_large),
    "a claimed offset of 2**62 - 2 (suricata#12591, suricata#12597)": (
        [crypto((1 << 62) - 2, b"a")],
        QuicFault.too_large,
    ),
}


@pytest.mark.parametrize("case", BAD_FLIGHTS)
def test_flights_that_cannot_be_judged(case: str) -> None:
    frames, kind = BAD_FLIGHTS[case]
    with pytest.raises(BadFlight) as caught:
        flight_of(*frames)
    assert caught.value.kind is kind


def test_a_hello_of_16_kib_is_read() -> None:
    base = len(client_hello(NAME, extension(21, b"")))
    hello = client_hello(NAME, extension(21, bytes(MAX_STREAM - base)))
    assert len(hello) == MAX_STREAM
    assert flight_of(*(crypto(at, data) for at, data in build.pieces(hello, 1100))) == [NAME]


def test_a_second_hello_follows_in_the_same_stream() -> None:
    flight = ClientFlight(D)
    assert flight_of(crypto(0, HELLO), flight=flight) == [NAME]
    assert flight.complete
    end = len(HELLO)
    assert flight_of(crypto(end + 20, OTHER[20:]), flight=flight) == []
    assert not flight.complete
    assert flight_of(crypto(end, OTHER[:20]), flight=flight) == [b"xxx.example.com.cn"]
    assert flight.complete


def test_the_stream_goes_on_when_the_version_changes() -> None:
    flight = ClientFlight(D)
    assert flight_of(crypto(0, HELLO[:60]), flight=flight) == []
    second = initials(version=V2, number=1).datagram(crypto(60, HELLO[60:]))
    assert [hello.sni for hello in flight.take(second, pull_packets(second)).hellos] == [NAME]


def test_a_claimed_offset_takes_no_memory() -> None:
    stream = CryptoStream()
    assert stream.add(MAX_STREAM - 1, b"a")
    assert stream.gap
    assert not stream.whole


# Answers.


@pytest.mark.parametrize("version", [Version.V1, Version.V2])
@pytest.mark.parametrize("scid", [b"", S, b"s" * 20])
def test_a_refusal_is_an_initial_of_1200_bytes_that_the_client_opens(
    version: Version, scid: bytes
) -> None:
    sending = Initials(D, scid, version=version)
    datagram = sending.hello(NAME)
    (packet,) = pull_packets(datagram)
    answer = refusal(packet, InitialKeys(D, version).server)
    assert len(answer) == 1200  # picoquic#2016: some clients ignore a shorter one
    (back,) = pull_packets(answer)
    assert (back.version, back.dcid, back.scid, back.end) == (version, scid, D, 1200)
    ((number, frames),) = sending.answers(answer)
    assert number == 0
    assert frames.rstrip(b"\0") == b"\x1c\x02"


def test_version_negotiation_offers_what_is_read_here() -> None:
    """RFC 8999 section 6, with the IDs of up to 255 bytes that another version may have."""
    for dcid, scid in [(D, S), (b"", b""), (b"d" * 255, b"s" * 255)]:
        asked = b"\xc0\x0a\x0a\x0a\x0a" + bytes([len(dcid)]) + dcid + bytes([len(scid)]) + scid
        answer = version_negotiation(pull_invariant_header(asked.ljust(1200, b"x")))
        header = pull_invariant_header(answer)
        assert answer[0] & 0x80
        assert (header.version, header.dcid, header.scid) == (0, scid, dcid)
        assert answer[header.end :] == bytes.fromhex("000000016b3343cf")


def test_what_is_pushed_is_what_is_pulled() -> None:
    assert pull_initial_frames(
        push_close(2) + b"\x06" + push_varint(70) + b"\x02ab"
    ) == InitialFrames([(70, b"ab")], closes=True)


def test_every_fault_has_a_case() -> None:
    said = {kind for table in (BAD_PACKETS, OPENINGS, UNREADABLE) for _, kind in table.values()}
    said |= {kind for _, kind in BAD_FRAMES.values()} | {kind for _, kind in BAD_FLIGHTS.values()}
    assert said == set(QuicFault)
    assert issubclass(BadPacket, QuicError)
    assert issubclass(BadFlight, QuicError)
