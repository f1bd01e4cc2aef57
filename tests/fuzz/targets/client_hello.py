"""ClientHellos: as raw streams, and as the extensions of a hello that is right otherwise."""

from __future__ import annotations

from collections.abc import Iterable

from gate.wire.tls import (
    BadHello,
    ClientHello,
    ClientHelloReader,
    HelloFault,
    parse_client_hello,
)
from tests.fuzz.targets import in_two, now_and_then
from tests.harness import hello as build
from tests.native import oracle
from tests.wire import openssl_hello, plain_hello

TOKENS = (
    *(b"\x16\x03\x01", b"\x01\x00", b"\x03\x03", b"\x00\x00", b"\xfe\x0d", b"\x00\x05\x00\x03\x00"),
    *(b"\x15\x03\x03\x00\x02", b"\x80\x2e\x01\x03\x01", b"\x16\x03\x03\x00\x00", b"a.cn"),
)

Outcome = ClientHello | HelloFault | None


def check(data: bytes) -> None:
    """The fast reader, the patient one and a plain one agree, however it is cut, and OpenSSL."""
    oracle.same_hello(data)
    check_stream(data)
    if len(data) < 16_000:
        check_stream(build.record(build.handshake(data)))


def parse(data: bytes) -> object:
    """A stream once, and the data as the extensions of a hello in many records."""
    return fast(data), fast(build.records(build.handshake(data[:65_000])))


def check_stream(data: bytes) -> None:
    """The same for bytes as they came."""
    outcome = fast(data)
    assert read(in_two(data)) == outcome
    if now_and_then(data):
        assert read([data]) == outcome
        assert read([data[at : at + 1] for at in range(len(data))]) == outcome
    try:
        expected = plain_hello.read(data)
    except plain_hello.Refused:
        assert isinstance(outcome, HelloFault)
    except plain_hello.Incomplete:
        assert not isinstance(outcome, ClientHello)
    else:
        assert outcome == expected
        assert openssl_hello.agrees(data, expected.sni)


def fast(data: bytes) -> Outcome:
    """What the fast path says."""
    try:
        return parse_client_hello(data)
    except BadHello as error:
        assert error.detail
        return error.kind


def read(portions: Iterable[bytes]) -> Outcome:
    """What the patient path says to a stream in `portions`, at the first that it says anything."""
    reader = ClientHelloReader()
    try:
        for portion in portions:
            hello = reader.feed(portion)
            if hello is not None:
                return hello
    except BadHello as error:
        assert error.detail
        return error.kind
    return None
