"""ClientHellos, built by hand (RFC 8446 4.1.2, RFC 6066 3) or taken from a real client."""

from __future__ import annotations

import ssl
import struct
from enum import IntEnum


class Extension(IntEnum):
    SERVER_NAME = 0
    SUPPORTED_GROUPS = 10
    SIGNATURE_ALGORITHMS = 13
    ALPN = 16
    PADDING = 21
    SUPPORTED_VERSIONS = 43
    KEY_SHARE = 51
    ENCRYPTED_CLIENT_HELLO = 0xFE0D
    GREASE = 0x2A2A


def vector(data: bytes, width: int) -> bytes:
    """A vector with a length of `width` octets (RFC 8446 3.4)."""
    return len(data).to_bytes(width, "big") + data


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack("!H", kind) + vector(body, 2)


def server_name(*names: bytes, name_type: int = 0) -> bytes:
    """The server_name extension with a list of `names`, all of one type."""
    entries = b"".join(bytes([name_type]) + vector(name, 2) for name in names)
    return extension(Extension.SERVER_NAME, vector(entries, 2))


def encrypted_client_hello(payload: int = 208) -> bytes:
    """The outer ECH extension (draft-ietf-tls-esni, ECHClientHello type outer)."""
    body = b"\x00" + struct.pack("!HH", 1, 1) + b"\x2a" + vector(b"\x11" * 32, 2)
    return extension(Extension.ENCRYPTED_CLIENT_HELLO, body + vector(b"\x77" * payload, 2))


COMMON = (
    extension(Extension.SUPPORTED_GROUPS, vector(b"\x00\x1d\x00\x17", 2))
    + extension(Extension.SIGNATURE_ALGORITHMS, vector(b"\x04\x03\x08\x04\x04\x01", 2))
    + extension(Extension.SUPPORTED_VERSIONS, vector(b"\x03\x04\x03\x03", 1))
)


def key_share(size: int = 32) -> bytes:
    """One key share of `size` octets; 1216 is what X25519MLKEM768 takes."""
    return extension(
        Extension.KEY_SHARE, vector(struct.pack("!H", 0x1D) + vector(b"k" * size, 2), 2)
    )


def padding(size: int) -> bytes:
    return extension(Extension.PADDING, bytes(size))


def handshake(
    extensions: bytes | None,
    *,
    session: bytes = b"s" * 32,
    ciphers: bytes = b"\x13\x01\x13\x02\xc0\x2f",
) -> bytes:
    """The ClientHello handshake message; None leaves the extensions block out."""
    body = b"\x03\x03" + b"r" * 32 + vector(session, 1)
    body += vector(ciphers, 2) + vector(b"\x00", 1)
    if extensions is not None:
        body += vector(extensions, 2)
    return b"\x01" + vector(body, 3)


def record(payload: bytes, *, kind: int = 22, version: bytes = b"\x03\x01") -> bytes:
    return bytes([kind]) + version + vector(payload, 2)


def records(message: bytes, size: int = 16384) -> bytes:
    """`message` over records of at most `size` octets."""
    return b"".join(record(message[at : at + size]) for at in range(0, len(message), size))


def hello(name: bytes | None, *extra: bytes, size: int = 16384) -> bytes:
    """A whole ClientHello for `name` (None: no server_name), in records of `size`."""
    sni = b"" if name is None else server_name(name)
    return records(handshake(sni + COMMON + key_share() + b"".join(extra)), size)


def real_hello(name: str | None, alpn: list[str] | None = None) -> bytes:
    """The ClientHello that this machine's OpenSSL sends for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot end without a server")


def oversized(*extensions: bytes) -> bytes:
    """A well-formed hello of more than 64 KiB; only the cipher suites can make it so large."""
    message = handshake(b"".join(extensions) + padding(30_000), ciphers=b"\x13\x01" * 20_000)
    return records(message)
