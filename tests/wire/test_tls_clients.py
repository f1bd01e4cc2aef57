"""The hellos of real clients (`data/*.bin`, see record_hellos.py), whole and cut everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.wire.tls import (
    ClientHello,
    ClientHelloReader,
    looks_like_http,
    looks_like_tls,
    parse_client_hello,
)
from tests.harness import hello as build
from tests.wire import openssl_hello

NAME = b"www.example.com.cn"
CLIENTS = {
    "chromium": ClientHello(NAME, ech=True),  # it greases ECH; X25519MLKEM768 key share
    "curl": ClientHello(NAME, ech=False),
    "go": ClientHello(NAME, ech=False),
    "java": ClientHello(NAME, ech=False),
    "node": ClientHello(NAME, ech=False),
    "openssl-early-data": ClientHello(NAME, ech=False),
    "openssl-no-sni": ClientHello(None, ech=False),
    "openssl-tls12": ClientHello(NAME, ech=False),
    "openssl-tls13": ClientHello(NAME, ech=False),
    "python": ClientHello(NAME, ech=False),
    "wget-gnutls": ClientHello(b"localhost", ech=False),
}
DATA = Path(__file__).parent / "data"


def sent_by(client: str) -> bytes:
    return (DATA / f"{client}.bin").read_bytes()


def first_record(data: bytes) -> int:
    """The size of the record that `data` starts with: where each of these hellos ends."""
    return 5 + int.from_bytes(data[3:5], "big")


def feed_all(*portions: bytes) -> ClientHello | None:
    """What a reader says after the last of `portions`; it must wait until then."""
    reader = ClientHelloReader()
    for portion in portions[:-1]:
        assert reader.feed(portion) is None
    return reader.feed(portions[-1])


def test_every_recording_has_its_expectation() -> None:
    assert {path.stem for path in DATA.glob("*.bin")} == CLIENTS.keys()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_hello_in_one_piece_is_read(client: str) -> None:
    data = sent_by(client)
    assert parse_client_hello(data) == CLIENTS[client]
    assert parse_client_hello(bytearray(data)) == CLIENTS[client]
    assert feed_all(data) == CLIENTS[client]
    assert openssl_hello.name_in(data) == (name.decode() if (name := CLIENTS[client].sni) else None)
    assert looks_like_tls(data)
    assert not looks_like_http(data)


def test_hello_cut_at_any_offset_is_read_once_it_is_whole(client: str) -> None:
    data = sent_by(client)
    for cut in range(1, first_record(data)):
        assert parse_client_hello(data[:cut]) is None
        assert feed_all(data[:cut], data[cut:]) == CLIENTS[client]


def test_hello_in_single_bytes_is_read_at_its_last(client: str) -> None:
    data = sent_by(client)[: first_record(sent_by(client))]
    assert feed_all(*(data[at : at + 1] for at in range(len(data)))) == CLIENTS[client]


def test_hello_over_two_records_cut_at_any_offset_is_read(client: str) -> None:
    data = sent_by(client)
    message = data[5 : first_record(data)]
    for cut in range(1, len(message)):
        records = build.record(message[:cut]) + build.record(message[cut:])
        assert parse_client_hello(records) == CLIENTS[client]


def test_hello_in_records_of_any_small_size_is_read(client: str) -> None:
    data = sent_by(client)
    message = data[5 : first_record(data)]
    for size in (1, 2, 3, 4, 5, 7, 100):
        assert parse_client_hello(build.records(message, size)) == CLIENTS[client]


def test_early_data_after_the_hello_is_left_alone() -> None:
    data = sent_by("openssl-early-data")
    end = first_record(data)
    assert data[end] == 20  # change_cipher_spec, then the early data
    assert parse_client_hello(data) == parse_client_hello(data[:end])


def test_post_quantum_hello_is_larger_than_a_segment() -> None:
    assert len(sent_by("chromium")) > 1460
