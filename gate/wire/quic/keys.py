"""The keys of Initial packets, which everybody on the way can derive.

They come from the connection ID that the client chose first (or a Retry gave it), so they hide
nothing; they keep a packet from being taken for another one. AES comes from `cryptography`; for
HMAC-SHA256, of which a flight takes five and an answer four more, three SHA-256 calls of Python's
own are a third of the price of an HMAC object (4.5 µs). Where a compiler was, `gate.native` does
the same in a fifth of the time; `initial_keys` gives the one that there is.

Sources: RFC 9001 sections 5.2 (secrets), 5.3 (AEAD), 5.4 (header protection), 5.8 (Retry);
RFC 9369 section 3.3 for version 2; RFC 8446 section 7.1 (HKDF-Expand-Label); RFC 9000 appendix A.3
(packet numbers).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Final, NoReturn, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from gate.wire.quic.errors import BadPacket, QuicFault
from gate.wire.quic.packet import LongHeader, Version

try:
    from gate.native import quic_keys
except ImportError:  # nothing was compiled, or there is no OpenSSL to call
    quic_keys = None  # type: ignore[assignment]

TAG: Final = 16
"""Bytes of AES-128-GCM's tag."""
_SAMPLE: Final = 16
_BLOCK: Final = 64  # of SHA-256
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))  # RFC 2104
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Hmac:
    """HMAC-SHA256 under one key of at most 64 bytes, for several messages."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(block.translate(_INNER))
        self._outer = sha256(block.translate(_OUTER))

    def digest(self, message: bytes) -> bytes:
        """Return the code of `message`, 32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


class SideKeys(Protocol):
    """The keys of one side's Initial packets: they open and seal."""

    def open(self, datagram: bytes, packet: LongHeader, largest: int) -> tuple[int, bytes]:
        """The packet number and the payload of an Initial; `largest` is the highest number so far.

        That is -1 before the first. Raises BadPacket if it is none of this connection's.
        """

    def seal(self, header: bytes, number: int, payload: bytes) -> bytes:
        """Return the packet of a `header` that ends with the 4 bytes of `number`, protected."""


class BothKeys(Protocol):
    """Both sides' Initial keys, each derived when it is asked for."""

    @property
    def client(self) -> SideKeys:
        """For what the client sends."""

    @property
    def server(self) -> SideKeys:
        """For what the server sends."""


def _label(name: bytes, size: int) -> bytes:
    """Return the one block of HKDF-Expand-Label's input for `size` bytes, 32 at most."""
    full = b"tls13 " + name
    return size.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0" + b"\x01"


_CLIENT: Final = _label(b"client in", 32)
_SERVER: Final = _label(b"server in", 32)


class _Salt:
    """What differs between versions: the salt and the labels; RFC 9001 5.2, RFC 9369 3.3."""

    def __init__(self, salt: str, prefix: bytes, retry_key: str, retry_nonce: str) -> None:
        self.extract = Hmac(bytes.fromhex(salt))
        self.key = _label(prefix + b"key", 16)
        self.iv = _label(prefix + b"iv", 12)
        self.hp = _label(prefix + b"hp", 16)
        self.retry = AESGCM(bytes.fromhex(retry_key))
        self.retry_nonce = bytes.fromhex(retry_nonce)


_TEXTS: Final = {
    Version.V1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a",
    Version.V2: "0dede3def700a6db819381be6e269dcbf9bd2ed9",
}
_SALTS: Final = {
    Version.V1: _Salt(
        _TEXTS[Version.V1],
        b"quic ",
        "be0c690b9f66575a1d766b54e368c84e",
        "461599d35d632bf2239825bb",
    ),
    Version.V2: _Salt(
        _TEXTS[Version.V2],
        b"quicv2 ",
        "8fb4b01b56ac48e260fbcbcead7ccc92",
        "d86969bc2d7c6d9990efb04a",
    ),
}


_TOO_SHORT, _UNDECRYPTABLE, _RESERVED_BITS = range(3)


def _raise(what: int, size: int) -> NoReturn:
    """Raise the error for a packet of `size` bytes behind its header."""
    if what == _TOO_SHORT:
        raise BadPacket(
            QuicFault.bad_length, f"an Initial of {size} bytes, {4 + _SAMPLE} at least are due"
        )
    if what == _UNDECRYPTABLE:
        raise BadPacket(QuicFault.undecryptable, "an Initial that its keys don't open") from None
    raise BadPacket(QuicFault.reserved_bits, "an Initial with its reserved bits set")


class PacketKeys:
    """The keys of one side's Initial packets: they open and seal."""

    __slots__ = ("_aead", "_hp", "_iv")

    def __init__(self, secret: bytes, version: Version) -> None:
        salt, expand = _SALTS[version], Hmac(secret).digest
        self._aead = AESGCM(expand(salt.key)[:16])
        self._iv = int.from_bytes(expand(salt.iv)[:12], "big")
        mask = AES(expand(salt.hp)[:16])
        self._hp = Cipher(mask, ECB()).encryptor().update  # noqa: S305 - one block, RFC 9001 5.4.3

    def open(self, datagram: bytes, packet: LongHeader, largest: int) -> tuple[int, bytes]:
        """See SideKeys."""
        at = packet.payload
        sample = datagram[at + 4 : at + 4 + _SAMPLE]
        if packet.end < at + 4 + _SAMPLE:
            _raise(_TOO_SHORT, packet.end - at)
        mask = self._hp(sample)
        first = datagram[packet.start] ^ mask[0] & 0x0F
        size = 1 + (first & 3)
        protected = int.from_bytes(datagram[at : at + size], "big")
        truncated = protected ^ int.from_bytes(mask[1 : 1 + size], "big")
        number = decode_packet_number(truncated, 8 * size, largest + 1)
        header = bytes([first]) + datagram[packet.start + 1 : at] + truncated.to_bytes(size, "big")
        try:
            payload = self._aead.decrypt(
                self._nonce(number), datagram[at + size : packet.end], header
            )
        except InvalidTag:
            _raise(_UNDECRYPTABLE, packet.end - at)
        if first & 0x0C:  # checked behind the tag, as RFC 9000 17.2 has it
            _raise(_RESERVED_BITS, packet.end - at)
        return number, payload

    def seal(self, header: bytes, number: int, payload: bytes) -> bytes:
        """See SideKeys."""
        sealed = self._aead.encrypt(self._nonce(number), payload, header)
        mask = self._hp(sealed[:_SAMPLE])
        packet = bytearray(header + sealed)
        packet[0] ^= mask[0] & 0x0F
        for at in range(4):
            packet[len(header) - 4 + at] ^= mask[1 + at]
        return bytes(packet)

    def _nonce(self, number: int) -> bytes:
        return (self._iv ^ number).to_bytes(12, "big")


class InitialKeys:
    """Both sides' Initial keys, each derived when it is asked for."""

    __slots__ = ("_client", "_secret", "_server", "version")

    def __init__(self, dcid: bytes, version: Version) -> None:
        """`dcid` is the one of the client's first Initial, or the one that a Retry gave it."""
        self.version = version
        self._secret = Hmac(_SALTS[version].extract.digest(dcid)).digest
        self._client: PacketKeys | None = None
        self._server: PacketKeys | None = None

    @property
    def client(self) -> PacketKeys:
        """For what the client sends."""
        if self._client is None:
            self._client = PacketKeys(self._secret(_CLIENT), self.version)
        return self._client

    @property
    def server(self) -> PacketKeys:
        """For what the server sends."""
        if self._server is None:
            self._server = PacketKeys(self._secret(_SERVER), self.version)
        return self._server


initial_keys: Callable[[bytes, Version], BothKeys] = InitialKeys
"""The Initial keys of a connection ID in a version."""

if quic_keys is not None:
    quic_keys.describe(
        tuple(
            (int(version), bytes.fromhex(_TEXTS[version]), salt.key, salt.iv, salt.hp)
            for version, salt in _SALTS.items()
        ),
        _CLIENT,
        _SERVER,
        _raise,
    )
    initial_keys = quic_keys.CompiledInitialKeys


def decode_packet_number(truncated: int, bits: int, expected: int) -> int:
    """Return the packet number nearest to `expected` whose last `bits` bits are `truncated`."""
    window = 1 << bits
    candidate = (expected & -window) | truncated
    if candidate <= expected - window // 2 and candidate < (1 << 62) - window:
        return candidate + window
    if candidate > expected + window // 2 and candidate >= window:
        return candidate - window
    return candidate


def retry_tag(packet: bytes, dcid: bytes, version: Version) -> bytes:
    """Return the integrity tag of a Retry, given without one, that answers an Initial to `dcid`."""
    salt = _SALTS[version]
    return salt.retry.encrypt(salt.retry_nonce, b"", bytes([len(dcid)]) + dcid + packet)
