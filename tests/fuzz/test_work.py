"""No input makes a parser's work grow faster than the input: counted in bytecodes, not in time.

Each case is the worst of its kind that we know, at one size and at twice that size. Work inside
regular expressions and byte searches is not counted here: tests/fuzz/one.py watches the time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType

import pytest

from gate.names import InvalidName, canonical
from gate.wire import proxy_protocol
from gate.wire.hello_retry import SecondHello
from gate.wire.http1 import BadMessage, ChunkedBody, ChunkLimits, RequestParser, ResponseParser
from gate.wire.quic import CryptoStream, QuicError, pull_packets
from gate.wire.quic.frames import pull_initial_frames
from gate.wire.tls import BadHello, ClientHelloReader
from tests.harness import hello as build
from tests.harness.examples import is_quick
from tests.harness.initial import crypto, long_header

REFUSALS = (BadHello, BadMessage, InvalidName, QuicError, proxy_protocol.BadProxyHeader)
ROOMY = ChunkLimits(line=1 << 20, extension_bytes=1 << 20, trailer_bytes=1 << 20, trailers=1 << 16)
RESPONSE = ChunkLimits(response=True)


def bytecodes(run: Callable[[], object]) -> int:
    """How many bytecodes `run` executes; a refusal ends it."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        with suppress(*REFUSALS):
            run()
    finally:
        sys.settrace(before)
    return count


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def hello_in(portions: list[bytes]) -> None:
    reader = ClientHelloReader()
    for portion in portions:
        reader.feed(portion)


def second_hello_in(portions: list[bytes]) -> None:
    reader = SecondHello()
    for portion in portions:
        reader.feed(portion)


def body_in(portions: list[bytes], limits: ChunkLimits = ROOMY, *, rechunk: bool = True) -> None:
    body = ChunkedBody(limits, rechunk)
    for portion in portions:
        body.feed(portion)


def request_in(portions: list[bytes]) -> None:
    parser, buf, searched = RequestParser(memo_bytes=0), bytearray(), 0
    for portion in portions:
        buf += portion
        parser.parse(buf, 0, searched)
        searched = len(buf)


def response_in(portions: list[bytes]) -> None:
    parser, buf, searched = ResponseParser(memo_bytes=0), bytearray(), 0
    for portion in portions:
        buf += portion
        parser.parse(buf, 0, b"GET", searched)
        searched = len(buf)


def stream_of(offsets: Iterable[int]) -> None:
    stream = CryptoStream()
    for at in offsets:
        stream.add(at, b"a")


def request(size: int, fields: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a.cn\r\n" + fields * max(1, size // len(fields)) + b"\r\n"


def extensions(size: int) -> bytes:
    return b"".join(build.extension(kind, b"") for kind in range(size // 4))


PLAIN = build.handshake(build.server_name(b"a.cn"))

CASES: dict[str, tuple[int, Callable[[int], object]]] = {
    "hello in single bytes": (
        8_000,
        lambda n: hello_in(single(build.records(build.handshake(build.padding(n))))),
    ),
    "hello in records of one byte": (
        1_000,
        lambda n: hello_in([build.records(build.handshake(build.padding(n)), 1)]),
    ),
    "hello in single bytes of records of one byte": (
        500,
        lambda n: hello_in(single(build.records(build.handshake(build.padding(n)), 1))),
    ),
    "empty records before a hello": (
        5_000,
        lambda n: hello_in([build.record(b"") * (n // 5) + build.record(PLAIN)]),
    ),
    "hello of empty extensions": (
        20_000,
        lambda n: hello_in([build.records(build.handshake(extensions(n)))]),
    ),
    "hello of empty extensions, the last one twice": (
        20_000,
        lambda n: hello_in(
            [build.records(build.handshake(extensions(n) + build.extension(n // 4 - 1, b"")))]
        ),
    ),
    "hello of many names": (
        20_000,
        lambda n: hello_in([build.records(build.handshake(build.server_name(*[b""] * (n // 3))))]),
    ),
    "early data before a second hello in single bytes": (
        1_500,
        lambda n: second_hello_in(
            single(build.record(b"e" * 20, kind=23) * (n // 25) + build.record(PLAIN))
        ),
    ),
    "second hello in records of one byte": (
        1_000,
        lambda n: second_hello_in([build.records(build.handshake(build.padding(n)), 1)]),
    ),
    "request head in single bytes": (1_500, lambda n: request_in(single(request(n, b"A: b\r\n")))),
    "request head of connection options": (
        4_000,
        lambda n: request_in([request(1, b"Connection: " + b"a," * (n // 2) + b"\r\n")]),
    ),
    "request head of forwarded addresses": (
        2_000,
        lambda n: request_in([request(n, b"X-Forwarded-For: 192.0.2.1, 192.0.2.2, 192.0.2.3\r\n")]),
    ),
    "response head in single bytes": (
        1_500,
        lambda n: response_in(single(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (n // 6) + b"\r\n")),
    ),
    "empty lines before a request in single bytes": (
        1_500,
        lambda n: request_in(single(b"\r\n" * (n // 2) + request(1, b"A: b\r\n"))),
    ),
    "response head of LF lines in single bytes": (
        1_500,
        lambda n: response_in(single(b"HTTP/1.1 200 OK\n" + b"A: b\n" * (n // 5) + b"\n")),
    ),
    "response head of control bytes": (
        1_200,
        lambda n: response_in([b"HTTP/1.1 200 OK\n" + b"A:\x00\n" * (n // 5) + b"\n"]),
    ),
    "response head of codings": (
        4_000,
        lambda n: response_in(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + b"a," * (n // 2) + b"\r\n\r\n"]
        ),
    ),
    "chunks with padded sizes": (6_000, lambda n: body_in([b"1 ;\r\nx\r\n" * (n // 8)], RESPONSE)),
    "chunks of one byte": (6_000, lambda n: body_in([b"1\r\nx\r\n" * (n // 6)])),
    "chunks of one byte, bare": (
        6_000,
        lambda n: body_in([b"1\r\nx\r\n" * (n // 6)], rechunk=False),
    ),
    "chunks of one byte in single bytes": (
        3_000,
        lambda n: body_in(single(b"1\r\nx\r\n" * (n // 6))),
    ),
    "chunk extension in single bytes": (3_000, lambda n: body_in(single(b"1" + b";a" * (n // 2)))),
    "trailers in single bytes": (
        3_000,
        lambda n: body_in(single(b"0\r\n" + b"A: b\r\n" * (n // 6))),
    ),
    "trailers": (6_000, lambda n: body_in([b"0\r\n" + b"A: b\r\n" * (n // 6)])),
    "PROXY header of empty TLVs": (
        1_800,
        lambda n: proxy_protocol.parse(
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + (12 + n).to_bytes(2, "big") + bytes(12 + n)
        ),
    ),
    "PROXY header in single bytes": (
        1_800,
        lambda n: [
            proxy_protocol.parse(
                (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + (12 + n).to_bytes(2, "big") + bytes(12 + n))[
                    :size
                ]
            )
            for size in range(28 + n)
        ],
    ),
    "QUIC datagram of empty packets": (
        1_200,
        lambda n: pull_packets(long_header("handshake", b"", b"", size=4) * (n // 13)),
    ),
    "QUIC frames of one byte": (
        4_000,
        lambda n: pull_initial_frames(b"".join(crypto(at, b"a") for at in range(n // 5))),
    ),
    "QUIC frames with PADDING between": (4_000, lambda n: pull_initial_frames(b"\x01\0" * n)),
    "QUIC acknowledgement of many ranges": (
        4_000,
        lambda n: pull_initial_frames(
            b"\x02\x80\x01\0\0\0\x80" + (n // 2).to_bytes(3, "big") + bytes(n + 1)
        ),
    ),
    "CRYPTO stream from the end": (4_000, lambda n: stream_of(range(n, 0, -1))),
    "CRYPTO stream with gaps, then none": (
        4_000,
        lambda n: stream_of([*range(1, n, 2), *range(0, n, 2)]),
    ),
    "name of many labels": (120, lambda n: canonical(b"_." + b"a." * (n // 2) + b"cn")),
    "name of U-labels": (120, lambda n: canonical("中.".encode() * (n // 8) + b"cn")),
    "name of one long U-label": (28, lambda n: canonical("中".encode() * n + b".cn")),
    "host of ideographic dots": (500, lambda n: canonical("。".encode() * (n // 3))),
}


def enough(size: int) -> int:
    """The size; in a quick run a quarter, where that shows it as well."""
    return max(size // 4, 1000) if is_quick() and size > 1000 else size


@pytest.mark.parametrize(("size", "run"), CASES.values(), ids=CASES.keys())
def test_twice_the_input_is_at_most_twice_the_work(size: int, run: Callable[[int], object]) -> None:
    size = enough(size)
    with suppress(*REFUSALS):
        run(2 * size)  # fills caches, so that both counts start alike
    once, twice = bytecodes(lambda: run(size)), bytecodes(lambda: run(2 * size))
    assert twice > 1.3 * once, "the case does not grow with its size: it shows nothing"
    assert twice < 2.3 * once
