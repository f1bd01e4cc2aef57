"""A blocking byte stream over a socket, with a deadline on every read."""

from __future__ import annotations

import errno
import socket
import struct

from tests.harness.waiting import patience

SECONDS = 10.0
"""How long a read may take where nothing is said, on a machine of its own."""


class Closed(Exception):
    """The peer ended the stream in order (FIN) before what was asked for had come."""


class ByteStream:
    """Buffered reads; `received` keeps every byte that ever came."""

    def __init__(self, sock: socket.socket, seconds: float | None = None) -> None:
        sock.settimeout(patience(SECONDS) if seconds is None else seconds)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.received = bytearray()
        self._at = 0

    @property
    def pending(self) -> bytes:
        """What was received and not yet read."""
        return bytes(self.received[self._at :])

    def fill(self) -> bytes:
        """Wait for more bytes. Raises Closed on FIN, ConnectionResetError on RST."""
        data = self.sock.recv(65536)
        if not data:
            raise Closed(f"stream ended after {len(self.received)} bytes")
        self.received += data
        return data

    def read_some(self, limit: int = 1 << 30) -> bytes:
        """Return at least one byte."""
        if self._at == len(self.received):
            self.fill()
        data = bytes(self.received[self._at : self._at + limit])
        self._at += len(data)
        return data

    def read_exact(self, count: int) -> bytes:
        """Return exactly `count` bytes."""
        while len(self.received) - self._at < count:
            self.fill()
        data = bytes(self.received[self._at : self._at + count])
        self._at += count
        return data

    def read_until(self, mark: bytes) -> bytes:
        """Return everything up to and with `mark`."""
        scan = self._at
        while True:
            found = self.received.find(mark, scan)
            if found >= 0:
                end = found + len(mark)
                data = bytes(self.received[self._at : end])
                self._at = end
                return data
            scan = max(self._at, len(self.received) - len(mark) + 1)
            self.fill()

    def read_to_end(self) -> bytes:
        """Return everything up to the FIN."""
        while True:
            try:
                self.fill()
            except Closed:
                data = bytes(self.received[self._at :])
                self._at = len(self.received)
                return data

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def finish(self) -> None:
        """Send a FIN, keep reading; nothing is left to end where the other side has reset."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()
