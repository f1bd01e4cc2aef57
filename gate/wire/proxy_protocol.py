"""The PROXY protocol, versions 1 and 2: read from a trusted balancer, written to an upstream.

Sans-IO and strict. `parse` tells the version by its signature, and takes a header or refuses it;
what it refuses ends the connection, because the bytes after a misread header would be attributed
to the wrong client. Lengths are bounded: 107 bytes for version 1, a limit for version 2.

Choices that the specification leaves open: the family word of version 1 does not bind its
addresses, because nginx, where it had the client's address from a header itself, writes that beside
an address of its own of the other family. An IPv4-mapped IPv6 address (RFC 4291 2.5.5.2) is the
IPv4 address that it names.

Source: "The PROXY protocol, versions 1 & 2", W. Tarreau, HAProxy Technologies (proxy-protocol.txt),
sections 2.1 and 2.2.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct

from gate.wire.errors import WireError

MAX_V1 = 107
"""Longest version 1 line, CR LF included (section 2.1)."""
MAX_V2 = 4_096
"""Longest version 2 header taken, in bytes, its TLVs included."""

_V1_SIGNATURE = b"PROXY "
_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = 16
_v2_fields = Struct(">BBH").unpack_from  # version and command, family and transport, length
_ports = Struct(">HH")


class BadProxyHeader(WireError):
    """The bytes are no PROXY header; the message says what was wrong and where."""


class Transport(Enum):
    """What the proxied connection runs over (the low half of version 2's family byte)."""

    unspecified = 0
    stream = 1
    datagram = 2


class _Family(IntEnum):
    unspecified = 0
    inet = 1
    inet6 = 2
    unix = 3


_ADDRESS_BYTES = {_Family.unspecified: 0, _Family.inet: 12, _Family.inet6: 36, _Family.unix: 216}


@dataclass(slots=True, frozen=True)
class HeaderEndpoint:
    """One end of a proxied connection; `ip` is no IPv4-mapped address where it was read."""

    ip: IPv4Address | IPv6Address
    port: int


@dataclass(slots=True, frozen=True)
class ProxyHeader:
    """What a PROXY header says.

    `source` and `destination` are None when it names no IP address: a LOCAL command (the balancer
    speaks for itself, for instance a health check), UNKNOWN, AF_UNSPEC or AF_UNIX. The ends of
    the real connection count then.
    """

    version: int
    local: bool = False
    transport: Transport = Transport.stream
    source: HeaderEndpoint | None = None
    destination: HeaderEndpoint | None = None


def parse(buf: bytes | bytearray, *, max_v2: int = MAX_V2) -> tuple[ProxyHeader, int] | None:
    """Read a header from the start of `buf`.

    Returns the header and the number of bytes that it took, or None if more bytes are needed.
    Raises BadProxyHeader as soon as the bytes cannot become a header.
    """
    if buf.startswith(_V1_SIGNATURE):
        return _parse_v1(buf)
    if buf.startswith(_V2_SIGNATURE):
        return _parse_v2(buf, max_v2)
    if _V1_SIGNATURE.startswith(buf) or _V2_SIGNATURE.startswith(buf):
        return None
    raise BadProxyHeader(f"no PROXY signature in the first bytes: {bytes(buf[:12])!r}")


def _parse_v1(buf: bytes | bytearray) -> tuple[ProxyHeader, int] | None:
    end = buf.find(b"\n", 0, MAX_V1)
    if end < 0:
        if len(buf) >= MAX_V1:
            raise BadProxyHeader(f"version 1 line without an end in {MAX_V1} bytes")
        cr = buf.find(b"\r")
        if cr >= 0 and cr + 1 < len(buf):
            raise BadProxyHeader("version 1 line with a bare CR")
        return None
    line = bytes(buf[:end])
    if line.find(b"\r") != end - 1:
        raise BadProxyHeader("version 1 line that does not end in CR LF")
    words = line[:-1].split(b" ")
    if words[1] == b"UNKNOWN":  # whatever follows it is to be ignored
        return ProxyHeader(1, transport=Transport.unspecified), end + 1
    if words[1] not in (b"TCP4", b"TCP6") or len(words) != 6:
        raise BadProxyHeader(
            f"version 1 line {line!r}; PROXY TCP4|TCP6 source destination port port is due"
        )
    source, destination, source_port, destination_port = words[2:]
    return (
        ProxyHeader(
            1,
            source=HeaderEndpoint(_v1_address(source), _v1_port(source_port)),
            destination=HeaderEndpoint(_v1_address(destination), _v1_port(destination_port)),
        ),
        end + 1,
    )


def _v1_address(text: bytes) -> IPv4Address | IPv6Address:
    try:
        if b"%" in text:
            raise ValueError("a zone means something on its own machine only")
        return _unmapped(ip_address(text.decode("ascii")))
    except ValueError:
        raise BadProxyHeader(f"no IP address in version 1: {text!r}") from None


def _unmapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return ip if isinstance(ip, IPv4Address) else ip.ipv4_mapped or ip


def _v1_port(text: bytes) -> int:
    if not text.isdigit() or len(text) > 5 or (text[0] == 0x30 and text != b"0"):
        raise BadProxyHeader(f"no port number in version 1: {text!r}")
    port = int(text)
    if port > 65_535:
        raise BadProxyHeader(f"port {port} in version 1 is above 65535")
    return port


def _parse_v2(buf: bytes | bytearray, max_v2: int) -> tuple[ProxyHeader, int] | None:
    if len(buf) < _V2_FIXED:
        return None
    version_command, family_transport, length = _v2_fields(buf, len(_V2_SIGNATURE))
    if version_command >> 4 != 2:
        raise BadProxyHeader(f"version {version_command >> 4} behind the version 2 signature")
    command = version_command & 0x0F
    if command > 1:
        raise BadProxyHeader(f"command {command} in version 2; LOCAL (0) or PROXY (1) is due")
    end = _V2_FIXED + length
    if end > max_v2:
        raise BadProxyHeader(f"version 2 header of {end} bytes, {max_v2} at most are taken")
    local = command == 0
    if not local:
        _check_v2_family(family_transport, length)
    if len(buf) < end:
        return None
    if local:  # the family and all that follows is to be discarded
        return ProxyHeader(2, local=True, transport=Transport.unspecified), end
    family = _Family(family_transport >> 4)
    transport = Transport(family_transport & 0x0F)
    if family is not _Family.unspecified:
        _check_tlvs(buf, _V2_FIXED + _ADDRESS_BYTES[family], end)
    if family is _Family.inet or family is _Family.inet6:
        source, destination = _v2_endpoints(buf, family)
        return ProxyHeader(2, False, transport, source, destination), end
    return ProxyHeader(2, False, transport), end


def _check_v2_family(family_transport: int, length: int) -> None:
    """Refuse what section 2.2 does not list, and a length too short for the addresses."""
    if family_transport not in (0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32):
        raise BadProxyHeader(f"family and transport 0x{family_transport:02x} in version 2")
    due = _ADDRESS_BYTES[_Family(family_transport >> 4)]
    if length < due:
        raise BadProxyHeader(f"version 2 addresses of {length} bytes where {due} are due")


def _check_tlvs(buf: bytes | bytearray, at: int, end: int) -> None:
    """Step over the TLVs (section 2.2): type, two bytes of length, value. None is used."""
    while at < end:
        at += 3 + int.from_bytes(buf[at + 1 : at + 3], "big") if at + 3 <= end else 3
    if at != end:
        raise BadProxyHeader("a version 2 TLV ends past the header")


def _v2_endpoints(buf: bytes | bytearray, family: _Family) -> tuple[HeaderEndpoint, HeaderEndpoint]:
    kind = IPv4Address if family is _Family.inet else IPv6Address
    size = 4 if family is _Family.inet else 16
    at = _V2_FIXED
    source_port, destination_port = _ports.unpack_from(buf, at + 2 * size)
    return (
        HeaderEndpoint(_unmapped(kind(bytes(buf[at : at + size]))), source_port),
        HeaderEndpoint(_unmapped(kind(bytes(buf[at + size : at + 2 * size]))), destination_port),
    )


def serialise(header: ProxyHeader) -> bytes:
    """Return the bytes of `header`, to be sent to an upstream before anything else.

    Ends of different families are both written as IPv6 (IPv4-mapped). A header without addresses
    becomes UNKNOWN in version 1, AF_UNSPEC in version 2.
    Raises ValueError for a version other than 1 and 2, or with only one of the two ends.
    """
    if (header.source is None) != (header.destination is None):
        raise ValueError("a PROXY header names both ends or none")
    if header.version == 1:
        return _serialise_v1(header)
    if header.version == 2:
        return _serialise_v2(header)
    raise ValueError(f"PROXY version {header.version}; 1 or 2 is due")


def _serialise_v1(header: ProxyHeader) -> bytes:
    if header.local or header.source is None or header.destination is None:
        return b"PROXY UNKNOWN\r\n"
    source, destination = _same_family(header.source.ip, header.destination.ip)
    family = "TCP4" if isinstance(source, IPv4Address) else "TCP6"
    # A link-local address may have a zone ("%eth0"), which means nothing to the upstream.
    ends = f"{source}".partition("%")[0], f"{destination}".partition("%")[0]
    ports = f"{header.source.port} {header.destination.port}"
    return f"PROXY {family} {ends[0]} {ends[1]} {ports}\r\n".encode("ascii")


def _serialise_v2(header: ProxyHeader) -> bytes:
    command = 0x20 if header.local else 0x21
    if header.local or header.source is None or header.destination is None:
        return _V2_SIGNATURE + bytes((command, 0x00, 0, 0))
    source, destination = _same_family(header.source.ip, header.destination.ip)
    family = _Family.inet if isinstance(source, IPv4Address) else _Family.inet6
    addresses = (
        source.packed
        + destination.packed
        + _ports.pack(header.source.port, header.destination.port)
    )
    kind = family << 4 | (header.transport.value or Transport.stream.value)
    return _V2_SIGNATURE + bytes((command, kind, 0, len(addresses))) + addresses


def _same_family(
    one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address
) -> tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]:
    if isinstance(one, IPv4Address) and isinstance(other, IPv4Address):
        return one, other
    return _as_ipv6(one), _as_ipv6(other)


def _as_ipv6(ip: IPv4Address | IPv6Address) -> IPv6Address:
    if isinstance(ip, IPv6Address):
        return ip
    return IPv6Address(b"\x00" * 10 + b"\xff\xff" + ip.packed)
