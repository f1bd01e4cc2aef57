"""ClientHello bytes, built once for each name. No cryptography: nothing behind a proxy that
passes TLS through needs a finished handshake, and the upstream here only counts bytes.

The hello has what a browser sends (RFC 8446 4.1.2): cipher list, supported groups, signature
algorithms, ALPN, versions, a key share. A classic one is padded to 517 bytes as browsers did
(RFC 7685); a post-quantum one carries an X25519MLKEM768 share and a GREASE ECH, 1.75 kB in all.
The first bytes of `random` tell our upstream what to answer.
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum

CLASSIC_SIZE = 517


class Answer(IntEnum):
    """What the upstream does after it has read a hello; sent in the hello's random."""

    SHORT = 0x53
    """`size` bytes, then close."""
    BULK = 0x42
    """`size` MiB, then close."""
    HOLD = 0x48
    """`size` bytes as a greeting, then an echo of whatever comes."""
    REFUSED = 0x52
    """None: the name is unfiled. A server that reads no names (see `floor`) goes by this."""


MARK = b"bnch"
"""Marks a hello of ours in `random`; the answer's code and size follow."""

_CIPHERS = bytes.fromhex("130113021303c02bc02fc02cc030cca9cca8c013c014009c009d002f0035")
_GROUPS = bytes.fromhex("001d00170018")
_GROUPS_PQ = bytes.fromhex("11ec001d00170018")
_SIGNATURES = bytes.fromhex("040308040401050308050501080606010201")


def _extension(kind: int, body: bytes) -> bytes:
    return struct.pack("!HH", kind, len(body)) + body


def _filler(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)


def _grease_ech(name: str) -> bytes:
    """An ECH extension as browsers send it to everyone (RFC 9849 6.2), with nothing in it."""
    payload = _filler(name + "e", 208)
    head = b"\x00\x00\x01\x00\x01\x17" + struct.pack("!H", 32) + _filler(name + "k", 32)
    return head + struct.pack("!H", len(payload)) + payload


def client_hello(
    name: str, answer: Answer = Answer.SHORT, size: int = 1000, *, post_quantum: bool = False
) -> bytes:
    """One TLS record with a ClientHello for `name` that asks our upstream for `answer`."""
    host = name.encode("ascii")
    random = MARK + struct.pack("!BI", answer, size) + _filler(name, 23)
    groups = _GROUPS_PQ if post_quantum else _GROUPS
    shares = struct.pack("!HH", 0x001D, 32) + _filler(name + "x", 32)
    if post_quantum:
        shares = struct.pack("!HH", 0x11EC, 1216) + _filler(name + "q", 1216) + shares
    entry = struct.pack("!BH", 0, len(host)) + host
    extensions = b"".join(
        (
            _extension(0, struct.pack("!H", len(entry)) + entry),
            _extension(23, b""),
            _extension(0xFF01, b"\0"),
            _extension(10, struct.pack("!H", len(groups)) + groups),
            _extension(11, b"\x01\x00"),
            _extension(35, b""),
            _extension(16, b"\x00\x0c\x02h2\x08http/1.1"),
            _extension(5, b"\x01\x00\x00\x00\x00"),
            _extension(13, struct.pack("!H", len(_SIGNATURES)) + _SIGNATURES),
            _extension(18, b""),
            _extension(51, struct.pack("!H", len(shares)) + shares),
            _extension(45, b"\x01\x01"),
            _extension(43, b"\x04\x03\x04\x03\x03"),
        )
    )
    fixed = b"\x03\x03" + random + b"\x20" + _filler(name + "s", 32)
    fixed += struct.pack("!H", len(_CIPHERS)) + _CIPHERS + b"\x01\x00"
    if post_quantum:
        extensions += _extension(0xFE0D, _grease_ech(name))
    spare = CLASSIC_SIZE - 5 - 4 - len(fixed) - 2 - len(extensions) - 4
    if not post_quantum and spare >= 0:
        extensions += _extension(21, bytes(spare))
    body = fixed + struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


def read_answer(hello: bytes) -> tuple[int, int] | None:
    """The answer's code and size from the hello's random (bytes 11 to 20); None if not ours."""
    if hello[11:15] != MARK:
        return None
    code, size = struct.unpack_from("!BI", hello, 15)
    return code, size
