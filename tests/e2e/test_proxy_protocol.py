"""The PROXY protocol: accepted from trusted sources only, sent where configured."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest

from tests.harness import filings, hello
from tests.harness.client import Client, get
from tests.harness.stage import Stage

TRUSTED, UNTRUSTED = "127.0.0.2", "127.0.0.3"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 5555 80\r\n"
V1_IPV6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 5555 80\r\n"


def v2(family: int, addresses: bytes, *, command: int = 1, tlvs: bytes = b"") -> bytes:
    """A version 2 header (section 2.2)."""
    body = addresses + tlvs
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


V2 = v2(0x11, bytes([203, 0, 113, 7, 192, 0, 2, 1]) + struct.pack("!HH", 5555, 80))
V2_IPV6 = v2(
    0x21,
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + struct.pack("!HH", 5555, 80),
)
V2_TLVS = v2(
    0x11,
    bytes([203, 0, 113, 7, 192, 0, 2, 1]) + struct.pack("!HH", 5555, 80),
    tlvs=b"\x01\x00\x02h2" + b"\x02\x00\x0bunfiled.com",
)
V2_LOCAL = v2(0x00, b"", command=0)
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"

HEADERS = {
    "v1": (V1, "203.0.113.7"),
    "v1-ipv6": (V1_IPV6, "2001:db8::7"),
    "v1-tcp6-of-ipv4": (b"PROXY TCP6 203.0.113.7 192.0.2.1 5555 80\r\n", "203.0.113.7"),
    "v1-tcp6-to-ipv4": (b"PROXY TCP6 2001:db8::7 192.0.2.1 5555 80\r\n", "2001:db8::7"),
    "v1-tcp4-to-ipv6": (b"PROXY TCP4 203.0.113.7 ::1 5555 80\r\n", "203.0.113.7"),
    "v1-ipv4-mapped": (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 5555 80\r\n", "203.0.113.7"),
    "v1-unknown": (V1_UNKNOWN, TRUSTED),
    "v2": (V2, "203.0.113.7"),
    "v2-ipv6": (V2_IPV6, "2001:db8::7"),
    "v2-ipv4-mapped": (
        v2(0x21, 2 * (bytes(10) + b"\xff\xff\xcb\x00\x71\x07") + struct.pack("!HH", 5555, 80)),
        "203.0.113.7",
    ),
    "v2-with-tlvs": (V2_TLVS, "203.0.113.7"),
    "v2-local": (V2_LOCAL, TRUSTED),
}
table = pytest.mark.parametrize(("header", "client_address"), HEADERS.values(), ids=HEADERS.keys())


@table
def test_header_from_a_trusted_source_names_the_client(
    stage: Stage, path: str, header: bytes, client_address: str
) -> None:
    with stage.http("http-proxied", source=TRUSTED) as client:
        assert client.ask(header + get("filed.com", path)).status == 200
    (seen,) = stage.origin.about(path)
    assert seen.value("x-forwarded-for") == client_address


@table
def test_header_in_single_bytes(
    stage: Stage, path: str, header: bytes, client_address: str
) -> None:
    with stage.http("http-proxied", source=TRUSTED) as client:
        for octet in header + get("filed.com", path):
            client.send(bytes([octet]))
        assert client.read_response().status == 200
    (seen,) = stage.origin.about(path)
    assert seen.value("x-forwarded-for") == client_address


@table
def test_what_follows_the_header_is_judged(
    stage: Stage, path: str, header: bytes, client_address: str
) -> None:
    with stage.http("http-proxied", source=TRUSTED) as client:
        assert client.ask(header + get("unfiled.com", path)).status == 302
    assert stage.origin.about(path) == []
    with stage.tls("tls-proxied", source=TRUSTED) as client:
        client.send(header + hello.hello(b"unfiled.com"))
        client.expect_reset()
    sent = hello.hello(filings.TO_RAW.encode())
    with stage.tls("tls-proxied", source=TRUSTED) as client:
        client.send(header + sent)
        assert client.read_exact(len(sent)) == sent


@table
def test_header_from_an_untrusted_source_is_malformed(
    stage: Stage, path: str, header: bytes, client_address: str
) -> None:
    for listener in ("http-proxied", "http"):
        with stage.http(listener, source=UNTRUSTED) as client:
            client.send(header + get("filed.com", path))
            refused(client)
    for listener in ("tls-proxied", "tls"):
        with stage.tls(listener, source=UNTRUSTED) as client:
            client.send(header + hello.hello(filings.TO_RAW.encode()))
            refused(client)
    assert stage.origin.about(path) == []


def refused(client: Client) -> None:
    """A 400, or a bare reset: in any case no answer of an origin, and the end."""
    with contextlib.suppress(ConnectionResetError):
        client.read_to_end()
    assert b" 200 " not in client.received


def test_trusted_source_must_send_a_header(stage: Stage, path: str) -> None:
    with stage.http("http-proxied", source=TRUSTED) as client:
        client.send(get("filed.com", path))
        refused(client)
    assert stage.origin.about(path) == []


def test_untrusted_source_without_a_header_is_served(stage: Stage, path: str) -> None:
    with stage.http("http-proxied", source=UNTRUSTED) as client:
        assert client.ask(get("filed.com", path)).status == 200
    (seen,) = stage.origin.about(path)
    assert seen.value("x-forwarded-for") == UNTRUSTED


BAD = {
    "v1-bad-address": b"PROXY TCP4 203.0.113.300 192.0.2.1 5555 80\r\n",
    "v1-bad-port": b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 80\r\n",
    "v1-missing-part": b"PROXY TCP4 203.0.113.7 192.0.2.1 5555\r\n",
    "v1-bare-lf": b"PROXY TCP4 203.0.113.7 192.0.2.1 5555 80\n",
    "v1-too-long": b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
    "v2-bad-version": SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
    "v2-bad-command": SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
    "v2-short-addresses": SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
    "two-headers": V1 + V1,
    "v2-then-v1": V2 + V1,
}


# What is bad about these is a request, and answered.
AFTER_A_HEADER = (V1 + V1, V2 + V1)


@pytest.mark.parametrize("header", BAD.values(), ids=BAD.keys())
def test_bad_header_from_a_trusted_source_is_refused(
    stage: Stage, path: str, header: bytes
) -> None:
    kinds = stage.gate.by_label("gate_first_bytes_malformed_total", "kind")
    with stage.http("http-proxied", source=TRUSTED) as client:
        client.send(header + get("filed.com", path))
        refused(client)
    assert stage.origin.about(path) == []
    if header not in AFTER_A_HEADER:
        kinds["proxy_header"] = kinds.get("proxy_header", 0) + 1
        assert stage.gate.by_label("gate_first_bytes_malformed_total", "kind") == kinds


@pytest.mark.parametrize("name", [filings.TO_PROXY_V1, filings.TO_PROXY_V2])
def test_header_is_sent_to_an_http_upstream_that_wants_it(
    stage: Stage, path: str, name: str
) -> None:
    with stage.http(source="127.0.0.9") as client:
        port = client.sock.getsockname()[1]
        assert client.ask(get(name, path)).status == 200
    check_sent(stage.proxied.headers[-1], name, "127.0.0.9", port)


@pytest.mark.parametrize("name", [filings.TO_PROXY_V1, filings.TO_PROXY_V2])
def test_header_is_sent_to_a_tls_upstream_that_wants_it(stage: Stage, name: str) -> None:
    sent = hello.hello(name.encode())
    with stage.tls(source="127.0.0.9") as client:
        port = client.sock.getsockname()[1]
        client.send(sent)
        arrived = bytearray()
        while not arrived.endswith(sent):
            arrived += client.read_some()
    check_sent(bytes(arrived).removesuffix(sent), name, "127.0.0.9", port)


def test_address_of_a_trusted_header_is_sent_on(stage: Stage, path: str) -> None:
    with stage.http("http-proxied", source=TRUSTED) as client:
        assert client.ask(V1 + get(filings.TO_PROXY_V2, path)).status == 200
    check_sent(stage.proxied.headers[-1], filings.TO_PROXY_V2, "203.0.113.7", 5555)


@pytest.mark.parametrize(
    ("header", "family", "ends"),
    [
        (V1, b"\x11", b"\xcb\x00\x71\x07" + b"\xc0\x00\x02\x01"),
        (V2, b"\x11", b"\xcb\x00\x71\x07" + b"\xc0\x00\x02\x01"),
        (
            V2_IPV6,
            b"\x21",
            b"".join(socket.inet_pton(socket.AF_INET6, f"2001:db8::{n}") for n in (7, 1)),
        ),
    ],
    ids=("v1", "v2", "v2-ipv6"),
)
def test_the_destination_of_a_trusted_header_is_sent_on(
    stage: Stage, path: str, header: bytes, family: bytes, ends: bytes
) -> None:
    with stage.http("http-proxied", source=TRUSTED) as client:
        assert client.ask(header + get(filings.TO_PROXY_V2, path)).status == 200
    ports = struct.pack("!HH", 5555, 80)
    assert stage.proxied.headers[-1] == (
        SIGNATURE + b"\x21" + family + struct.pack("!H", len(ends) + 4) + ends + ports
    )


def test_connection_to_a_proxy_upstream_is_not_shared_between_clients(
    stage: Stage, path: str
) -> None:
    for source in ("127.0.0.11", "127.0.0.12"):
        with stage.http(source=source) as client:
            port = client.sock.getsockname()[1]
            assert client.ask(get(filings.TO_PROXY_V1, path)).status == 200
        check_sent(stage.proxied.headers[-1], filings.TO_PROXY_V1, source, port)


def check_sent(header: bytes, name: str, address: str, port: int) -> None:
    if name == filings.TO_PROXY_V1:
        assert header.startswith(b"PROXY TCP4 %b 127.0.0.1 %d " % (address.encode(), port))
        assert header.endswith(b"\r\n")
        return
    assert header[:14] == SIGNATURE + b"\x21\x11"
    assert header[16:20] == socket.inet_aton(address)
    assert struct.unpack_from("!H", header, 24)[0] == port
