"""PROXY headers, version 1 and 2: as raw streams, and behind each signature."""

from __future__ import annotations

from dataclasses import replace

from gate.wire import proxy_protocol
from gate.wire.proxy_protocol import MAX_V2, BadProxyHeader, ProxyHeader, Transport, serialise
from tests.fuzz.targets import in_two

_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
TOKENS = (
    *(b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"\r\n", b"192.0.2.1 ", b"2001:db8::1 ", b"65535"),
    *(_V2, b"\x21\x11\x00\x0c", b"\x21\x21\x00\x24", b"\x20\x00\x00\x00", b"\x03\x00\x04"),
)


def check(data: bytes) -> None:
    """Only whole headers are taken; more bytes never change an answer; what is read is written."""
    for stream in (data, b"PROXY TCP" + data, _V2 + data):
        check_stream(stream)


def parse(data: bytes) -> object:
    """A header once, and one in which the TLVs are as many as they can be."""
    return read(data), read(_V2 + b"\x21\x11\x0f\xf0" + bytes(12) + data)


def check_stream(data: bytes) -> None:
    """The same for bytes as they came."""
    outcome = read(data)
    first, _ = in_two(data)
    early = read(first)
    assert early is None or early == outcome
    assert read(data + b"GET / HTTP/1.1\r\n") == outcome or outcome is None
    if outcome is None:
        assert len(data) < MAX_V2
    elif isinstance(outcome, tuple):
        header, used = outcome
        assert 0 < used <= len(data)
        assert read(data[: used - 1]) is None
        written = serialise(header)
        assert read(written) == (read_back(header), len(written))


def read(data: bytes) -> tuple[ProxyHeader, int] | str | None:
    """What the parser says."""
    try:
        return proxy_protocol.parse(data)
    except BadProxyHeader as error:
        assert str(error)
        return "refused"


def read_back(header: ProxyHeader) -> ProxyHeader:
    """What a header is once written: without addresses its transport goes unsaid."""
    if header.source is None:
        return replace(header, transport=Transport.unspecified)
    return header
