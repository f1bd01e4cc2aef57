"""What holds for any datagrams, any frames and any pieces of a stream."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from gate.wire.quic import (
    MAX_STREAM,
    ClientFlight,
    CryptoStream,
    QuicError,
    QuicFault,
    Taken,
    pull_invariant_header,
    pull_long_header,
    pull_packets,
)
from gate.wire.quic.frames import pull_initial_frames
from tests.harness import initial as build
from tests.harness.initial import Initials, client_hello, crypto
from tests.wire.plain_stream import PlainStream, Refused
from tests.wire.test_quic_clients import CLIENTS, sent_by

HELLO = client_hello("www.example.com.cn")
FLIGHTS = [sent_by(client) for client in CLIENTS]
IN_THE_CLEAR = 60
"""Bytes of a flight that are worth changing: behind them all changes look alike."""


Result = TypeVar("Result")


def outcome(read: Callable[[], Result]) -> Result | QuicFault:
    """What `read` gives, or why it refuses."""
    try:
        return read()
    except QuicError as error:
        assert error.detail  # noqa: PT017 - on the way
        return error.kind


@st.composite
def changed_datagrams(draw: st.DrawFn) -> bytes:
    """A recorded datagram with a few bytes of its header changed, inserted or taken out."""
    data = bytearray(draw(st.sampled_from(FLIGHTS))[0])
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, IN_THE_CLEAR))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(st.one_of(st.binary(max_size=200), changed_datagrams()))
def test_packets_lie_side_by_side_within_their_datagram(data: bytes) -> None:
    if not data or not data[0] & 0x80:
        return
    packets = outcome(lambda: pull_packets(data))
    if isinstance(packets, QuicFault):
        return
    at = 0
    for packet in packets:
        assert packet.start == at < packet.payload <= packet.end <= len(data)
        assert pull_long_header(data, at) == packet
        opening = pull_invariant_header(data, at)
        assert (opening.version, opening.dcid) == (packet.version, packet.dcid)
        at = packet.end
    assert at == len(data) or not data[at] & 0x80


@given(st.binary(max_size=1300), st.binary(max_size=20))
def test_nobody_opens_what_was_not_sealed(data: bytes, dcid: bytes) -> None:
    datagram = build.long_header("initial", dcid, b"", size=len(data) + 4) + data
    said = outcome(lambda: ClientFlight(dcid).take(datagram, pull_packets(datagram)))
    assert said in (QuicFault.undecryptable, QuicFault.bad_length)


@given(st.binary(max_size=300))
def test_frames_are_read_to_the_end_or_refused(payload: bytes) -> None:
    frames = outcome(lambda: pull_initial_frames(payload))
    if isinstance(frames, QuicFault):
        return
    assert sum(len(data) for _, data in frames.crypto) < len(payload)
    assert pull_initial_frames(payload + b"\0\x01\0") == frames


piece_lists = st.lists(
    st.tuples(st.integers(0, 60), st.binary(min_size=0, max_size=20)), max_size=12
)


@given(piece_lists)
def test_a_stream_is_that_of_a_plain_one(pieces: list[tuple[int, bytes]]) -> None:
    stream, plain = CryptoStream(), PlainStream()
    for offset, data in pieces:
        said = outcome(partial(stream.add, offset, data))
        try:
            fresh = plain.add(offset, data)
        except Refused:
            assert said is QuicFault.overlap
            return
        assert said is fresh
        assert bytes(stream.whole) == plain.whole
        assert stream.gap is plain.gap


@given(
    st.lists(st.tuples(st.integers(0, len(HELLO)), st.integers(1, 60)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_pieces_of_one_text_make_the_text_in_any_order(
    cuts: list[tuple[int, int]], chance: object
) -> None:
    pieces = [(at, HELLO[at : at + size]) for at, size in cuts] + build.pieces(HELLO, 33)
    chance.shuffle(pieces)  # type: ignore[attr-defined]
    stream = CryptoStream()
    for offset, data in pieces:
        stream.add(offset, data)
    assert bytes(stream.whole) == HELLO
    assert not stream.gap


@given(st.integers(0, 1 << 62), st.integers(0, 50))
def test_nothing_is_taken_beyond_the_bound(offset: int, size: int) -> None:
    said = outcome(lambda: CryptoStream().add(offset, bytes(size)))
    assert (said is QuicFault.too_large) is (offset + size > MAX_STREAM)


@given(st.lists(st.integers(1, len(HELLO) - 1), max_size=5), st.randoms(use_true_random=False))
def test_no_cut_and_no_order_changes_the_outcome(cuts: list[int], chance: object) -> None:
    bounds = sorted({0, len(HELLO), *cuts})
    sending = Initials()
    datagrams = [
        sending.datagram(crypto(start, HELLO[start:end])) for start, end in pairwise(bounds)
    ]
    chance.shuffle(datagrams)  # type: ignore[attr-defined]
    flight = ClientFlight(sending.dcid)
    found = []
    for datagram in datagrams:
        assert not flight.complete
        found += flight.take(datagram, pull_packets(datagram)).hellos
    assert [hello.sni for hello in found] == [b"www.example.com.cn"]
    assert flight.complete


@given(changed_datagrams())
def test_a_flight_raises_nothing_but_its_own_errors(data: bytes) -> None:
    packets = outcome(lambda: pull_packets(data))
    if not isinstance(packets, QuicFault):
        said = outcome(lambda: ClientFlight(packets[0].dcid).take(data, packets))
        assert isinstance(said, Taken | QuicFault)
