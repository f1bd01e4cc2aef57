"""The first flights of real clients (`data/quic/*.bin`, see record_flights.py)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gate.wire.quic import (
    BadPacket,
    ClientFlight,
    QuicFault,
    Version,
    pull_invariant_header,
    pull_packets,
)
from gate.wire.tls import ClientHello

NAME = b"www.example.com.cn"
HERE = ClientHello(NAME, ech=False)
# The hello, and after how many of the client's datagrams it is there.
CLIENTS = {
    "aioquic": (HERE, 1),
    "aioquic-v2": (HERE, 1),
    "chromium": (ClientHello(NAME, ech=True), 2),  # some twenty shuffled pieces
    "curl": (HERE, 1),  # in eleven shuffled pieces
    "curl-as-chrome": (ClientHello(NAME, ech=True), 2),
    "ngtcp2": (HERE, 1),
    "quic-go": (HERE, 2),
}
UNKNOWN_VERSIONS = {"ngtcp2-v2-draft": 0x709A50C4}
DATA = Path(__file__).parent / "data" / "quic"


def sent_by(client: str) -> list[bytes]:
    framed, datagrams = (DATA / f"{client}.bin").read_bytes(), []
    while framed:
        end = 2 + int.from_bytes(framed[:2], "big")
        datagrams.append(framed[2:end])
        framed = framed[end:]
    return datagrams


def test_every_recording_has_its_expectation() -> None:
    recorded = {path.stem for path in DATA.glob("*.bin") if not path.stem.startswith("rfc")}
    assert recorded == CLIENTS.keys() | UNKNOWN_VERSIONS.keys()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_hello_is_read_as_soon_as_it_is_there(client: str) -> None:
    hello, count = CLIENTS[client]
    flight = None
    for index, datagram in enumerate(sent_by(client), 1):
        packets = pull_packets(datagram)
        flight = flight or ClientFlight(packets[0].dcid)
        taken = flight.take(datagram, packets)
        assert taken.hellos == ([hello] if index == count else []), index
        assert flight.complete is (index >= count)


def test_the_order_of_datagrams_does_not_matter(client: str) -> None:
    hello, _ = CLIENTS[client]
    datagrams = sent_by(client)
    for seed in range(10):
        random.Random(seed).shuffle(datagrams)
        flight = ClientFlight(pull_packets(datagrams[0])[0].dcid)
        found = []
        for datagram in datagrams + datagrams:
            found += flight.take(datagram, pull_packets(datagram)).hellos
        assert found == [hello]


def test_a_version_that_is_not_known_is_said_to_be_so() -> None:
    for client, version in UNKNOWN_VERSIONS.items():
        datagram = sent_by(client)[0]
        header = pull_invariant_header(datagram)
        assert header.version == version
        assert header.version not in set(Version)
        with pytest.raises(BadPacket) as caught:
            pull_packets(datagram)
        assert caught.value.kind is QuicFault.unknown_version
