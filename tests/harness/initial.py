"""A client's Initial packets, built with aioquic's keys: right ones, and wrong ones on purpose."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from aioquic.quic.crypto import CryptoPair

from tests.harness.hello import COMMON, extension, handshake, server_name

V1 = 0x00000001
V2 = 0x6B3343CF
SMALLEST = 1200
CONNECTION_REFUSED = 0x02

_INITIAL, _ZERO_RTT, _HANDSHAKE, _RETRY = range(4)
TYPES = {"initial": _INITIAL, "zero_rtt": _ZERO_RTT, "handshake": _HANDSHAKE, "retry": _RETRY}


def varint(value: int, size: int = 0) -> bytes:
    """RFC 9000 section 16, in its shortest form or in `size` bytes."""
    size = size or next(n for n in (1, 2, 4, 8) if value < 1 << (8 * n - 2))
    return (value | {1: 0, 2: 1, 4: 2, 8: 3}[size] << (8 * size - 2)).to_bytes(size, "big")


def crypto(offset: int, data: bytes) -> bytes:
    """A CRYPTO frame."""
    return b"\x06" + varint(offset) + varint(len(data)) + data


def client_hello(name: str | bytes | None, more: bytes = b"") -> bytes:
    """A ClientHello message for `name`; None names nobody."""
    names = b"" if name is None else server_name(name if isinstance(name, bytes) else name.encode())
    return handshake(names + COMMON + extension(57, b"\x04\x01\x00") + more, session=b"")


def pieces(data: bytes, size: int) -> list[tuple[int, bytes]]:
    """`data` in pieces of `size` bytes, each with its offset."""
    return [(at, data[at : at + size]) for at in range(0, len(data), size)]


def long_header(
    kind: str,
    dcid: bytes,
    scid: bytes = b"",
    *,
    version: int = V1,
    number: int = 0,
    number_size: int = 4,
    token: bytes = b"",
    size: int,
    first: int = 0,
) -> bytes:
    """A long header with its packet number, in the clear; `size` is what Length says."""
    bits = TYPES[kind] + (1 if version == V2 else 0) & 3
    head = bytes([(0xC0 | bits << 4 | number_size - 1) ^ first]) + version.to_bytes(4, "big")
    head += bytes([len(dcid)]) + dcid + bytes([len(scid)]) + scid
    if kind == "initial":
        head += varint(len(token)) + token
    return head + varint(size, 2) + (number % (1 << 8 * number_size)).to_bytes(number_size, "big")


@lru_cache(maxsize=64)
def initial_keys(cid: bytes, version: int) -> CryptoPair:
    """Return aioquic's keys of a client; to derive them costs several times what a packet does."""
    keys = CryptoPair()
    keys.setup_initial(cid=cid, is_client=True, version=version)
    return keys


@dataclass(slots=True)
class Initials:
    """One client's Initial packets: the keys of `keyed`, and the numbers counted up."""

    dcid: bytes = field(default_factory=lambda: secrets.token_bytes(8))
    scid: bytes = field(default_factory=lambda: secrets.token_bytes(8))
    version: int = V1
    keyed: bytes | None = None
    """The connection ID that the keys derive from, if it is not `dcid` (any more)."""
    number: int = 0
    token: bytes = b""

    def packet(
        self,
        frames: bytes,
        *,
        pad_to: int = 0,
        number: int | None = None,
        number_size: int = 4,
        first: int = 0,
    ) -> bytes:
        """One packet; PADDING makes it `pad_to` bytes long."""
        if number is None:
            number, self.number = self.number, self.number + 1
        bare = long_header(
            "initial", self.dcid, self.scid, version=self.version, token=self.token, size=0,
            number_size=number_size,
        )  # fmt: skip
        missing = pad_to - len(bare) - len(frames) - 16
        frames = frames + bytes(max(missing, 0, 4 - number_size - len(frames)))
        header = long_header(
            "initial",
            self.dcid,
            self.scid,
            version=self.version,
            number=number,
            number_size=number_size,
            token=self.token,
            size=number_size + len(frames) + 16,
            first=first,
        )
        sealed: bytes = self.keys(self.version).encrypt_packet(header, frames, number)
        return sealed

    def keys(self, version: int) -> CryptoPair:
        """This client's keys in one version."""
        return initial_keys(self.dcid if self.keyed is None else self.keyed, version)

    def datagram(self, frames: bytes, *, size: int = SMALLEST, before: bytes = b"") -> bytes:
        """A datagram of `size` bytes with one Initial, `before` in front of it."""
        return before + self.packet(frames, pad_to=size - len(before))

    def hello(self, name: str | bytes | None, **more: bytes) -> bytes:
        """A datagram with a whole ClientHello."""
        return self.datagram(crypto(0, client_hello(name, **more)))

    def datagrams(self, frames: Iterable[bytes], per_datagram: int) -> list[bytes]:
        """Frames over datagrams, so many in each."""
        each: Sequence[bytes] = list(frames)
        return [
            self.datagram(b"".join(each[at : at + per_datagram]))
            for at in range(0, len(each), per_datagram)
        ]

    def answers(self, datagram: bytes) -> list[tuple[int, bytes]]:
        """The (number, frames) of each Initial in a server's datagram."""
        found = []
        while datagram and datagram[0] & 0x80 and any(datagram[1:5]):
            at = 6 + datagram[5]
            at += 1 + datagram[at]
            size = datagram[at] & 0x3F  # of the token; a server sends none
            at += 1 + size
            width = 1 << (datagram[at] >> 6)
            length = int.from_bytes(datagram[at : at + width], "big") & (1 << 8 * width - 2) - 1
            at += width
            keys = self.keys(int.from_bytes(datagram[1:5], "big"))
            packet, datagram = datagram[: at + length], datagram[at + length :]
            _, frames, number = keys.decrypt_packet(packet, at, 0)
            found.append((number, frames))
        return found
