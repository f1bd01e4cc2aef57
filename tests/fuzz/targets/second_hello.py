"""What a client sends behind its first ClientHello: skipped records, then perhaps a second one."""

from __future__ import annotations

from collections.abc import Iterable

from gate.wire.hello_retry import SecondHello
from gate.wire.tls import BadHello, ClientHello, HelloFault, hello_end
from tests.fuzz.targets import client_hello, in_two, now_and_then
from tests.harness import hello as build
from tests.wire import plain_hello

TOKENS = (
    *client_hello.TOKENS,
    *(b"\x14\x03\x03\x00\x01\x01", b"\x17\x03\x03\x00\x02ab", b"\x15\x03\x03\x00\x02\x02\x28"),
)

Outcome = tuple[ClientHello | HelloFault | None, int, bytes]


def check(data: bytes) -> None:
    """Cuts change nothing; what is passed over are records, and the rest is a hello or refused."""
    for stream in (data, build.record(build.handshake(data[:16_000])) + data):
        outcome = read([stream])
        assert read(in_two(stream)) == outcome
        if now_and_then(stream):
            assert read([stream[at : at + 1] for at in range(len(stream))]) == outcome
        check_against_a_plain_reader(stream, outcome)


def parse(data: bytes) -> object:
    """A stream once."""
    return read([data])


def check_against_a_plain_reader(stream: bytes, outcome: Outcome) -> None:
    """The records that come before, taken off by hand, and the plain reader of hellos behind."""
    found, passed, raw = outcome
    at = 0
    while len(stream) >= at + 5 and stream[at] in (20, 21, 23) and stream[at + 1] == 3:
        size = int.from_bytes(stream[at + 3 : at + 5], "big")
        if size > 16_640:
            assert found is HelloFault.bad_lengths
            return
        at = min(at + 5 + size, len(stream))
    if isinstance(found, ClientHello):
        assert (passed, raw) == (at, stream[at : at + len(raw)])
        assert plain_hello.read(raw) == found
    elif found is None:
        assert stream.startswith(b"\x16", at) or not raw


def read(portions: Iterable[bytes]) -> Outcome:
    """What is found, how much was passed over, and what is kept of the hello."""
    reader = SecondHello()
    try:
        for portion in portions:
            hello = reader.feed(portion)
            if hello is not None:
                raw = reader.raw  # bytes behind the hello come with it or later, as it was cut
                return hello, reader.passed, raw[: hello_end(raw)]
    except BadHello as error:
        assert error.detail
        return error.kind, 0, b""
    return None, reader.passed, reader.raw
