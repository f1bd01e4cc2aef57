"""QUIC first flights: the data is the frames of a client's Initials, which are sealed here.

Each datagram's frames stand behind their length in two bytes.
"""

from __future__ import annotations

from aioquic.buffer import BufferReadError

from gate.wire.quic import MAX_STREAM, BadFlight, ClientFlight, QuicFault, pull_packets
from gate.wire.tls import ClientHello
from tests.fuzz.targets import now_and_then
from tests.fuzz.targets.quic_frames import Illegal, plain
from tests.harness.initial import V1, V2, client_hello, crypto, initial_keys, long_header
from tests.wire import plain_hello
from tests.wire.plain_stream import PlainStream, Refused

_HELLO = client_hello("a.cn")
TOKENS = (
    *(b"\x00\x09\x06\x00\x40", b"\x06\x00", b"\x01\x00\x00\x29\x03\x03", b"\x40\x80", b"\x00\x06"),
    *(crypto(0, _HELLO), crypto(0, _HELLO[:40]), crypto(40, _HELLO[40:]), crypto(9, b"")),
    *(len(crypto(0, _HELLO)).to_bytes(2, "big") + crypto(0, _HELLO), b"\x02\x00\x00\x00\x00"),
)
MAX_INPUT = 2500
"""Two datagrams, as browsers send them."""
_DCID = b"d" * 8
_HEADS = {
    version: long_header("initial", _DCID, version=version, size=0)[:-6] for version in (V1, V2)
}
"""Up to the length and the packet number, whose 6 bytes are each packet's own."""
_MOST_DATAGRAMS = 32
"""Of one input; a listener holds 16 of a connection."""
Outcome = list[ClientHello] | QuicFault


def check(data: bytes) -> None:
    """Only BadFlight is raised; a plain reader finds the same hellos; two orders, same hellos."""
    flights = payloads(data)
    datagrams = sealed(flights)
    outcome = read(datagrams)
    expected = plain_read(flights)
    if expected is None:
        assert isinstance(outcome, QuicFault)
    else:
        assert outcome == expected
    if now_and_then(data):
        again = read(datagrams + datagrams)
        assert again == outcome
        back = read(datagrams[::-1])
        # A flight that is refused may be refused for another reason first.
        assert back == outcome or (isinstance(back, QuicFault) and isinstance(outcome, QuicFault))


def parse(data: bytes) -> object:
    """A flight once."""
    return read(sealed([data[at : at + 1200] for at in range(0, len(data), 1200)]))


def payloads(data: bytes) -> list[bytes]:
    """The datagrams' frames, _MOST_DATAGRAMS at most; the last may be cut short."""
    found: list[bytes] = []
    while data and len(found) < _MOST_DATAGRAMS:
        end = 2 + int.from_bytes(data[:2], "big")
        found.append(data[2:end])
        data = data[end:]
    return found


def sealed(flights: list[bytes]) -> list[bytes]:
    """Datagrams with an Initial for each, in both versions by turns."""
    datagrams = []
    for number, frames in enumerate(flights):
        version = V2 if number & 1 else V1
        payload = frames or b"\x01"
        size = (0x4000 | 4 + len(payload) + 16).to_bytes(2, "big")
        header = _HEADS[version] + size + number.to_bytes(4, "big")
        datagrams.append(initial_keys(_DCID, version).encrypt_packet(header, payload, number))
    return datagrams


def read(datagrams: list[bytes]) -> Outcome:
    """What the reader says after all of them, or at the first that it refuses."""
    flight, hellos = ClientFlight(_DCID), []
    try:
        for datagram in datagrams:
            hellos += flight.take(datagram, pull_packets(datagram)).hellos
    except BadFlight as error:
        assert error.detail
        return error.kind
    assert flight.hellos == len(hellos)
    return hellos


def plain_read(flights: list[bytes]) -> list[ClientHello] | None:
    """The same by plain means; None if it is to be refused."""
    stream = PlainStream()
    hellos: list[ClientHello] | None = []
    try:
        for frames in flights:
            grown = False
            for piece in plain(frames):
                if isinstance(piece, str):
                    continue
                offset, data = piece
                if offset + len(data) > MAX_STREAM:
                    return None
                grown |= stream.add(offset, data)
            if grown:
                hellos = plain_messages(stream.whole)
            if hellos is None:
                break
    except (Illegal, Refused, BufferReadError, ValueError):
        return None
    return hellos


def plain_messages(whole: bytes) -> list[ClientHello] | None:
    """The hellos that the start of a stream holds; None if it is to be refused."""
    hellos: list[ClientHello] = []
    at = 0
    while at < len(whole):
        if whole[at] != 1 or len(hellos) == 2:
            return None
        if len(whole) - at < 4:
            break
        end = at + 4 + int.from_bytes(whole[at + 1 : at + 4], "big")
        if end > MAX_STREAM:
            return None
        if end > len(whole):
            break
        try:
            hellos.append(plain_hello.read_message(whole[at + 4 : end]))
        except plain_hello.Refused:
            return None
        at = end
    return hellos
