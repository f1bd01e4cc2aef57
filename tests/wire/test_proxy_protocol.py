"""PROXY headers of both versions: read strictly, written back the same (proxy-protocol.txt)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gate.wire.proxy_protocol import (
    MAX_V1,
    MAX_V2,
    BadProxyHeader,
    HeaderEndpoint,
    ProxyHeader,
    Transport,
    parse,
    serialise,
)

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
V4 = bytes([192, 0, 2, 1]) + bytes([198, 51, 100, 2]) + b"\xdb\x05\x01\xbb"
V6 = IPv6Address("2001:db8::1").packed + IPv6Address("2001:db8::2").packed + b"\xdb\x05\x01\xbb"
UNIX = b"/run/client".ljust(108, b"\0") + b"/run/gate".ljust(108, b"\0")
LONGEST_V1 = b"PROXY UNKNOWN" + 2 * (b" " + b"ffff:" * 7 + b"ffff") + b" 65535 65535\r\n"


def end(ip: str, port: int) -> HeaderEndpoint:
    return HeaderEndpoint(ip_address(ip), port)


def v2(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    size = len(rest) if length is None else length
    return SIGNATURE + bytes([command, family]) + size.to_bytes(2, "big") + rest


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


FROM_V4, TO_V4 = end("192.0.2.1", 56069), end("198.51.100.2", 443)
FROM_V6, TO_V6 = end("2001:db8::1", 56069), end("2001:db8::2", 443)
UNKNOWN = ProxyHeader(1, transport=Transport.unspecified)
LOCAL = ProxyHeader(2, local=True, transport=Transport.unspecified)
OVER_V4 = ProxyHeader(2, False, Transport.stream, FROM_V4, TO_V4)
OVER_V6 = ProxyHeader(2, False, Transport.stream, FROM_V6, TO_V6)

READ = {
    "v1 TCP4": (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56069 443\r\n",
        ProxyHeader(1, source=FROM_V4, destination=TO_V4),
    ),
    "v1 TCP6": (
        b"PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 56069 443\r\n",
        ProxyHeader(1, source=FROM_V6, destination=TO_V6),
    ),
    "v1 TCP6 with IPv4, as nginx writes it behind another proxy": (
        b"PROXY TCP6 192.0.2.1 198.51.100.2 56069 443\r\n",
        ProxyHeader(1, source=FROM_V4, destination=TO_V4),
    ),
    "v1 TCP6 from IPv6 to IPv4, likewise": (
        b"PROXY TCP6 2001:db8::1 198.51.100.2 56069 443\r\n",
        ProxyHeader(1, source=FROM_V6, destination=TO_V4),
    ),
    "v1 TCP4 from IPv4 to IPv6, likewise": (
        b"PROXY TCP4 192.0.2.1 2001:db8::2 56069 443\r\n",
        ProxyHeader(1, source=FROM_V4, destination=TO_V6),
    ),
    "v1 with IPv4-mapped addresses": (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6402 56069 443\r\n",
        ProxyHeader(1, source=FROM_V4, destination=TO_V4),
    ),
    "v1 with ports 0 and 65535": (
        b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
        ProxyHeader(1, source=end("0.0.0.0", 0), destination=end("255.255.255.255", 65535)),
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", UNKNOWN),
    "v1 UNKNOWN with what is to be ignored": (LONGEST_V1, UNKNOWN),
    "v2 over TCP on IPv4": (v2(0x21, 0x11, V4), OVER_V4),
    "v2 over TCP on IPv6": (v2(0x21, 0x21, V6), OVER_V6),
    "v2 with IPv4-mapped addresses": (
        v2(0x21, 0x21, bytes(10) + b"\xff\xff" + V4[:4] + bytes(10) + b"\xff\xff" + V4[4:]),
        OVER_V4,
    ),
    "v2 over UDP on IPv4": (
        v2(0x21, 0x12, V4),
        ProxyHeader(2, False, Transport.datagram, FROM_V4, TO_V4),
    ),
    "v2 over UDP on IPv6": (
        v2(0x21, 0x22, V6),
        ProxyHeader(2, False, Transport.datagram, FROM_V6, TO_V6),
    ),
    "v2 over a Unix stream": (v2(0x21, 0x31, UNIX), ProxyHeader(2)),
    "v2 over Unix datagrams": (
        v2(0x21, 0x32, UNIX),
        ProxyHeader(2, transport=Transport.datagram),
    ),
    "v2 of no family": (v2(0x21, 0x00, b""), ProxyHeader(2, transport=Transport.unspecified)),
    "v2 of no family with what is to be ignored": (
        v2(0x21, 0x00, b"\xff" * 20),
        ProxyHeader(2, transport=Transport.unspecified),
    ),
    "v2 LOCAL": (v2(0x20, 0x00, b""), LOCAL),
    "v2 LOCAL, addresses to be ignored": (v2(0x20, 0x11, V4), LOCAL),
    "v2 LOCAL, an unknown family to be ignored": (v2(0x20, 0xF7, b"\x01\x02"), LOCAL),
    "v2 with TLVs": (
        v2(0x21, 0x11, V4 + tlv(0x01, b"h2") + tlv(0x02, b"") + tlv(0xEE, b"x" * 300)),
        OVER_V4,
    ),
    "v2 of the largest size": (v2(0x21, 0x11, V4 + tlv(4, bytes(MAX_V2 - 16 - 12 - 3))), OVER_V4),
}

REFUSED = {
    "no signature": b"GET / HTTP/1.1\r\n",
    "a TLS record": b"\x16\x03\x01",
    "a signature in lower case": b"proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
    "a v1 signature of other letters": b"PROXX",
    "a tab after the v1 signature": b"PROXY\tTCP4 192.0.2.1 198.51.100.2 1 2\r\n",
    "a v2 signature that breaks off": SIGNATURE[:-1] + b"\r",
    # version 1
    "v1 of an unknown family": b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
    "v1 of no family": b"PROXY \r\n",
    "v1 of a family in lower case": b"PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n",
    "v1 UNKNOWN run into another word": b"PROXY UNKNOWNS\r\n",
    "v1 with LF alone": b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
    "v1 with CR alone": b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rG",
    "v1 with CR within": b"PROXY UNKNOWN \r \r\n",
    "v1 with CR twice": b"PROXY UNKNOWN\r\r\n",
    "v1 with too few words": b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
    "v1 with too many words": b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
    "v1 with two spaces": b"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
    "v1 with a space at the end": b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
    "v1 with a name": b"PROXY TCP4 example.com 198.51.100.2 1 2\r\n",
    "v1 with a number for an address": b"PROXY TCP4 3221225985 198.51.100.2 1 2\r\n",
    "v1 with a network": b"PROXY TCP4 192.0.2.1/32 198.51.100.2 1 2\r\n",
    "v1 with brackets": b"PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n",
    "v1 with a short IPv4 address": b"PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n",
    "v1 with a leading zero in an address": b"PROXY TCP4 192.0.02.1 198.51.100.2 1 2\r\n",
    "v1 with a number above 255": b"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
    "v1 with an IPv6 zone": b"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
    "v1 with bytes that are no ASCII": b"PROXY TCP4 192.0.2.\xb2 198.51.100.2 1 2\r\n",
    "v1 with NUL in an address": b"PROXY TCP4 192.0.2.1\x00 198.51.100.2 1 2\r\n",
    "v1 with port 65536": b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
    "v1 with a leading zero in a port": b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
    "v1 with a sign in a port": b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
    "v1 with an underscore in a port": b"PROXY TCP4 192.0.2.1 198.51.100.2 1_0 2\r\n",
    "v1 with an empty port": b"PROXY TCP4 192.0.2.1 198.51.100.2  2\r\n",
    "v1 one byte longer than a line may be": LONGEST_V1.replace(b" 65535 ", b" 655350 "),
    "v1 without an end": b"PROXY UNKNOWN " + b"x" * (MAX_V1 - 14),
    # version 2
    "v2 that says version 1": v2(0x11, 0x11, V4),
    "v2 that says version 3": v2(0x31, 0x11, V4),
    "v2 of an unknown command": v2(0x22, 0x11, V4),
    "v2 of an unknown family": v2(0x21, 0x41, V4),
    "v2 of an unknown transport": v2(0x21, 0x13, V4),
    "v2 of a family without a transport": v2(0x21, 0x10, V4),
    "v2 of a transport without a family": v2(0x21, 0x01, V4),
    "v2 shorter than two IPv4 addresses": v2(0x21, 0x11, V4[:-1]),
    "v2 shorter than two IPv6 addresses": v2(0x21, 0x21, V6[:-1]),
    "v2 shorter than two Unix addresses": v2(0x21, 0x31, UNIX[:-1]),
    "v2 too short, before the rest is there": v2(0x21, 0x11, b"", 11),
    "v2 over the largest size": v2(0x21, 0x11, V4 + tlv(4, bytes(MAX_V2 - 16 - 12 - 2))),
    "v2 over the largest size, at its header": v2(0x21, 0x11, b"", 65535),
    "v2 LOCAL over the largest size": v2(0x20, 0x00, b"", MAX_V2 - 15),
    "v2 with two bytes of a TLV": v2(0x21, 0x11, V4 + b"\x01\x00"),
    "v2 with a TLV past the end": v2(0x21, 0x11, V4 + tlv(1, b"h2")[:-1]),
    "v2 with a TLV past the end on a Unix socket": v2(0x21, 0x31, UNIX + b"\x01\x00\x01"),
}


@pytest.mark.parametrize(("data", "header"), READ.values(), ids=READ.keys())
def test_header_is_read_and_the_rest_left(data: bytes, header: ProxyHeader) -> None:
    assert parse(data) == (header, len(data))
    for after in (b"GET / HTTP/1.1\r\n", b"\r\n", data):
        assert parse(bytearray(data + after)) == (header, len(data))


@pytest.mark.parametrize("data", [data for data, _ in READ.values()], ids=READ.keys())
def test_part_of_a_header_asks_for_more(data: bytes) -> None:
    for size in range(len(data)):
        assert parse(data[:size]) is None


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_header_is_refused(data: bytes) -> None:
    with pytest.raises(BadProxyHeader) as refusal:
        parse(data)
    assert str(refusal.value)
    with pytest.raises(BadProxyHeader):
        parse(data + b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n" + bytes(5000))


def test_longest_line_of_version_1_is_as_the_specification_counts() -> None:
    assert len(LONGEST_V1) == MAX_V1


def test_limit_of_version_2_can_be_set() -> None:
    data = v2(0x21, 0x11, V4 + tlv(4, bytes(5)))
    assert parse(data, max_v2=len(data)) == (OVER_V4, len(data))
    with pytest.raises(BadProxyHeader, match="36 bytes, 35 at most"):
        parse(data, max_v2=len(data) - 1)


WRITTEN = {
    "v1 on IPv4": (
        ProxyHeader(1, source=FROM_V4, destination=TO_V4),
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56069 443\r\n",
    ),
    "v1 on IPv6": (
        ProxyHeader(1, source=FROM_V6, destination=TO_V6),
        b"PROXY TCP6 2001:db8::1 2001:db8::2 56069 443\r\n",
    ),
    "v1 from IPv4 to IPv6": (
        ProxyHeader(1, source=FROM_V4, destination=TO_V6),
        b"PROXY TCP6 ::ffff:c000:201 2001:db8::2 56069 443\r\n",
    ),
    "v1 with a zone, which only this machine knows": (
        ProxyHeader(1, source=end("fe80::1%eth0", 1), destination=end("fe80::2%eth0", 2)),
        b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n",
    ),
    "v1 without addresses": (ProxyHeader(1), b"PROXY UNKNOWN\r\n"),
    "v1 local": (
        ProxyHeader(1, local=True, source=FROM_V4, destination=TO_V4),
        b"PROXY UNKNOWN\r\n",
    ),
    "v2 on IPv4": (OVER_V4, v2(0x21, 0x11, V4)),
    "v2 on IPv6": (OVER_V6, v2(0x21, 0x21, V6)),
    "v2 from IPv6 to IPv4": (
        ProxyHeader(2, source=FROM_V6, destination=TO_V4),
        v2(
            0x21,
            0x21,
            V6[:16] + bytes(10) + b"\xff\xff" + TO_V4.ip.packed + V6[32:],
        ),
    ),
    "v2 over UDP": (
        ProxyHeader(2, False, Transport.datagram, FROM_V4, TO_V4),
        v2(0x21, 0x12, V4),
    ),
    "v2 without addresses": (ProxyHeader(2), v2(0x21, 0x00, b"")),
    "v2 local": (ProxyHeader(2, local=True), v2(0x20, 0x00, b"")),
}


@pytest.mark.parametrize(("header", "data"), WRITTEN.values(), ids=WRITTEN.keys())
def test_header_is_written(header: ProxyHeader, data: bytes) -> None:
    assert serialise(header) == data


def test_header_with_one_end_or_of_another_version_is_not_written() -> None:
    with pytest.raises(ValueError, match="both ends or none"):
        serialise(ProxyHeader(2, source=FROM_V4))
    with pytest.raises(ValueError, match="version 3; 1 or 2"):
        serialise(ProxyHeader(3))


ports = st.integers(0, 65535)


def endpoints(
    addresses: st.SearchStrategy[IPv4Address | IPv6Address],
) -> st.SearchStrategy[HeaderEndpoint]:
    return st.builds(HeaderEndpoint, addresses, ports)


# None that is IPv4-mapped: it would be read back as the IPv4 address.
ends = endpoints(st.ip_addresses().map(lambda ip: getattr(ip, "ipv4_mapped", None) or ip))
pairs = st.tuples(ends, ends)


@given(pairs, st.sampled_from([1, 2]), st.binary(max_size=40))
def test_what_is_written_is_read_back(
    pair: tuple[HeaderEndpoint, HeaderEndpoint], version: int, after: bytes
) -> None:
    header = ProxyHeader(version, False, Transport.stream, *pair)
    data = serialise(header)
    assert parse(data + after) == (header, len(data))


@given(
    st.one_of(
        st.binary(max_size=40),
        st.builds(bytes.__add__, st.sampled_from([b"PROXY ", SIGNATURE]), st.binary(max_size=240)),
        st.builds(
            lambda data, at, byte: data[: at % len(data)] + byte + data[at % len(data) + 1 :],
            st.sampled_from([data for data, _ in READ.values()]),
            st.integers(0, 300),
            st.binary(max_size=2),
        ),
    )
)
@example(b"")
def test_a_longer_start_of_the_same_stream_never_changes_the_outcome(data: bytes) -> None:
    outcomes = [outcome(data[:size]) for size in range(len(data) + 1)]
    for earlier, later in pairwise(outcomes):
        assert earlier is None or earlier == later


def outcome(data: bytes) -> tuple[ProxyHeader, int] | str | None:
    try:
        return parse(data)
    except BadProxyHeader:
        return "refused"
