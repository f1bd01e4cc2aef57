"""A client's Initial packets, read for the ClientHellos in them.

All that a client says in Initials is one stream of handshake messages. The first is a ClientHello;
after a HelloRetryRequest there is a second one (RFC 8446 section 4.1.4), and no third. The stream
goes on whatever version a packet has, for the version may change within a connection (RFC 9368),
and whichever connection ID the packets are sent to; only a Retry begins it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gate.wire.quic.crypto_stream import MAX_STREAM, CryptoStream
from gate.wire.quic.errors import BadFlight, QuicFault
from gate.wire.quic.frames import pull_initial_frames
from gate.wire.quic.keys import BothKeys, initial_keys
from gate.wire.quic.packet import LongHeader, PacketType, Version
from gate.wire.tls import BadHello, ClientHello, read_hello_message

MOST_HELLOS: Final = 2
_HEADER: Final = 4  # of a handshake message: type and length
_CLIENT_HELLO: Final = 1
_INITIAL: Final = PacketType.INITIAL


@dataclass(slots=True)
class Taken:
    """What a datagram added to a flight."""

    hellos: list[ClientHello] = field(default_factory=list)
    """Those that it made complete."""
    closes: bool = False
    """The client gives up."""


class ClientFlight:
    """The Initials of one client, under the keys of the connection ID `dcid`."""

    __slots__ = ("_keys", "_largest", "_read", "dcid", "hellos", "stream")

    def __init__(self, dcid: bytes) -> None:
        self.dcid = dcid
        self.stream = CryptoStream()
        self.hellos = 0
        """Complete ones so far."""
        self._read = 0  # bytes of the stream that are in them
        self._largest = -1  # packet number
        self._keys: dict[Version, BothKeys] = {}

    @property
    def complete(self) -> bool:
        """Whether there is a hello, and no part of another one."""
        return self.hellos > 0 and self._read == len(self.stream.whole) and not self.stream.gap

    def keys(self, version: Version) -> BothKeys:
        """Return the keys of this flight in one version."""
        keys = self._keys.get(version)
        if keys is None:
            keys = self._keys[version] = initial_keys(self.dcid, version)
        return keys

    def take(self, datagram: bytes, packets: list[LongHeader]) -> Taken:
        """Read the Initials among a datagram's `packets`.

        Raises BadPacket if one is none of this flight's, BadFlight if it can't be judged.
        """
        taken = Taken()
        for packet in packets:
            if packet.type is not _INITIAL:
                continue
            keys = self.keys(packet.version).client
            number, payload = keys.open(datagram, packet, self._largest)
            if number > self._largest:
                self._largest = number
            frames = pull_initial_frames(payload)
            taken.closes |= frames.closes
            for offset, data in frames.crypto:
                self.stream.add(offset, data)
        if len(self.stream.whole) > self._read:
            self._read_messages(taken)
        return taken

    def _read_messages(self, taken: Taken) -> None:
        """Read what is complete of the stream by now."""
        whole = self.stream.whole
        while len(whole) > self._read:
            start = self._read
            if whole[start] != _CLIENT_HELLO:
                raise BadFlight(
                    QuicFault.bad_hello,
                    f"handshake message of type {whole[start]} where a ClientHello (1) is due",
                )
            if self.hellos == MOST_HELLOS:
                raise BadFlight(QuicFault.bad_hello, "a third ClientHello")
            if len(whole) - start < _HEADER:
                return
            end = start + _HEADER + int.from_bytes(whole[start + 1 : start + _HEADER], "big")
            if end > MAX_STREAM:
                raise BadFlight(
                    QuicFault.too_large,
                    f"ClientHello up to byte {end}, {MAX_STREAM} at most are read",
                )
            if len(whole) < end:
                return
            try:
                taken.hellos.append(read_hello_message(whole[start:end]))
            except BadHello as error:
                raise BadFlight(QuicFault.bad_hello, str(error)) from None
            self._read = end
            self.hellos += 1

    def freeze(self) -> dict[str, object]:
        """Return what was read of it so far, as JSON can have it.

        What is not complete is left out.
        """
        return {
            "dcid": self.dcid.hex(),
            "read": self.stream.whole[: self._read].hex(),
            "hellos": self.hellos,
            "largest": self._largest,
        }

    @classmethod
    def thaw(cls, frozen: Mapping[str, Any]) -> ClientFlight:
        """Return the flight that was frozen. Raises KeyError, TypeError or ValueError for none."""
        flight = cls(bytes.fromhex(frozen["dcid"]))
        flight.stream = CryptoStream(bytes.fromhex(frozen["read"]))
        flight._read = len(flight.stream.whole)
        flight.hellos = int(frozen["hellos"])
        flight._largest = int(frozen["largest"])
        return flight
