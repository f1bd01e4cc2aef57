"""Handshakes in which a server asks for a second ClientHello (RFC 8446 4.1.4)."""

from __future__ import annotations

import ssl
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.certificates import make_certificates
from tests.harness.hello import Extension, extension, handshake, record, server_name, vector

GROUP: Final = "secp384r1"
"""The only group of the servers here; a first hello has no share of it."""

_X25519, _P384 = 0x1D, 0x18
_RANDOM: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def _message(name: bytes | None, group: int, share: bytes, *more: bytes) -> bytes:
    entry = struct.pack("!H", group) + vector(share, 2)
    return handshake(
        (b"" if name is None else server_name(name))
        + extension(Extension.SUPPORTED_GROUPS, vector(struct.pack("!HH", _X25519, _P384), 2))
        + extension(Extension.SIGNATURE_ALGORITHMS, vector(b"\x04\x03\x08\x04\x04\x01", 2))
        + extension(Extension.SUPPORTED_VERSIONS, vector(b"\x03\x04", 1))
        + b"".join(more)
        + extension(Extension.KEY_SHARE, vector(entry, 2)),
        ciphers=b"\x13\x01\x13\x02",
    )


def first_hello(name: bytes | None, *more: bytes) -> bytes:
    """A record with a ClientHello that a server of GROUP answers by asking for another."""
    return record(_message(name, _X25519, b"\x09" + b"k" * 31, *more))


def second_hello(name: bytes | None) -> bytes:
    """The ClientHello message that such a server then takes, whatever its name."""
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return _message(name, _P384, point)


def asked_again() -> bytes:
    """A HelloRetryRequest, as a server sends it."""
    extensions = extension(Extension.SUPPORTED_VERSIONS, b"\x03\x04") + extension(
        Extension.KEY_SHARE, struct.pack("!H", _P384)
    )
    body = b"\x03\x03" + _RANDOM + vector(b"s" * 32, 1) + b"\x13\x02\x00" + vector(extensions, 2)
    return record(b"\x02" + vector(body, 3), version=b"\x03\x03")


@cache
def _server() -> ssl.SSLContext:
    with tempfile.TemporaryDirectory() as folder:
        context = make_certificates(Path(folder), ["a.cn"]).server_context()
    context.set_ecdh_curve(GROUP)
    return context


def openssl_answer(hello: bytes) -> bytes:
    """What an OpenSSL server of GROUP says to a first flight."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = _server().wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot end without the client's second flight")
