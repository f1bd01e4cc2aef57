"""Where connections come in: accepted in batches, and most of them decided on the spot.

TCP_DEFER_ACCEPT lets a connection wait in the kernel until its first bytes are there, so one
`recv` straight after `accept` usually has the whole ClientHello or request head. Only what is
not complete by then becomes an `Arrival` and is watched (see first_bytes.py).

Listening sockets pass their options on to what they accept. A tls listener's is set to reset on
close, so that refusing costs no system call beyond the close itself; whoever keeps a connection
switches that off first (`Connection.admit`).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import time
from socket import MSG_DONTWAIT, SO_LINGER, SOL_SOCKET, SocketType
from typing import Final

from gate.proxy.admission import READ_BYTES
from gate.proxy.connection import LINGER_RESET, Connection, Peer, unmapped
from gate.proxy.first_bytes import FirstBytes
from gate.proxy.hosts import destination_of
from gate.proxy.listener import ListenerState
from gate.proxy.plane import Plane
from gate.proxy.reactor import IN
from gate.proxy.upstream import OUT_OF_RESOURCES

_log = logging.getLogger(__name__)

_SILENT_SECONDS: Final = 60.0  # between two lines on pauses; the counter has each of them

_BATCH = 64
_STREAM: Final = int(socket.SOCK_STREAM)  # a plain number: members of an enum cost more
_DEFER_SECONDS = 1
PAUSE_SECONDS = 0.25
# Linux, struct tcp_info: of a listening socket, tcpi_unacked is the length of its accept queue.
_ACCEPT_QUEUE: Final = struct.Struct("@24xI")
_TCP_INFO_BYTES = 32


def prepare(sock: socket.socket, kind: str) -> None:
    """Set the options that accepted connections inherit."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if kind == "tls":
        sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_RESET)


class Entry:
    """Accepts one listening socket's connections."""

    def __init__(
        self, plane: Plane, listener: ListenerState, sock: socket.socket, first_bytes: FirstBytes
    ) -> None:
        self._plane = plane
        self._listener = listener
        self._sock = sock
        self._first_bytes = first_bytes
        # The public accept() wraps each descriptor in a Python-level socket with calls of its
        # own; this is the one underneath, which the public one is built on.
        self._accept = sock._accept  # type: ignore[attr-defined]
        self._family = int(sock.family)
        self._mapped = sock.family == socket.AF_INET6  # IPv4 clients come as IPv6 addresses
        prepare(sock, listener.kind)
        self._transparent = listener.transparent != "off"
        self._paused = False
        self._silent_until = 0.0
        self._guess = 1  # how many connections wait

    def open(self) -> None:
        """Start accepting. Raises OSError where the kernel has no room for a watch."""
        self._watch()
        self._paused = False

    def _watch(self) -> None:
        self._plane.reactor.watch(self._sock.fileno(), IN, self.on_ready)

    def _unwatch(self) -> None:
        self._plane.reactor.unwatch(self._sock.fileno())

    def close(self) -> None:
        """Stop accepting; the socket is the supervisor's, and stays open."""
        self._paused = False
        self._unwatch()

    def resume(self) -> None:
        """Accept again after a pause, if there is one."""
        if self._paused:
            with contextlib.suppress(OSError):  # no memory yet: asked again after another pause
                self.open()

    def stop(self) -> int:
        """Stop accepting; return how many connections wait in the kernel (see `serve`)."""
        self.close()
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        waiting: int = _ACCEPT_QUEUE.unpack_from(info)[0]
        return waiting

    def serve(self, most: int) -> int:
        """Accept up to `most` of those that wait, one turn's worth; return how many are left."""
        turn = min(most, _BATCH)
        for _ in range(turn):
            if not self._accept_one():
                self._paused = False  # out of descriptors, perhaps: nobody is to open it again
                return 0
        return most - turn

    def on_ready(self, _events: int) -> None:
        """Accept as many as probably wait.

        Asking once too often costs as much as being told again by epoll, so the guess is what
        was there last time, doubled for as long as it was too low.
        """
        accept_one, guess = self._accept_one, self._guess
        for count in range(guess):
            if not accept_one():
                self._guess = count or 1
                return
        self._guess = min(2 * guess, _BATCH)

    def _accept_one(self) -> bool:
        """Take the next connection as far as its first bytes go; False if none can be had."""
        try:
            fd, peer = self._accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:  # accepting again at once would only spin
                self.pause(error)
                return False
            return True  # the client gave up while it waited
        sock = SocketType(self._family, _STREAM, 0, fd)
        try:
            data = sock.recv(READ_BYTES, MSG_DONTWAIT)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        self.begin(sock, peer, data)
        return True

    def begin_fd(self, fd: int, peer: Peer, data: bytes | None) -> None:
        """Take a connection that was accepted elsewhere; see `begin`."""
        self.begin(SocketType(self._family, _STREAM, 0, fd), peer, data)

    def begin(self, sock: SocketType, peer: Peer, data: bytes | None) -> None:
        """Take a new connection as far as its first bytes go.

        `data` is what it has sent: None if there is nothing yet, empty if it has ended.
        """
        listener = self._listener
        if self._mapped:
            peer = unmapped(peer)
        connection = Connection(self._plane, listener, sock, peer, listener.count())
        try:
            if self._transparent and not self._intercept(connection):
                return
            if data == b"":
                connection.vanish()
                return
            expects = bool(listener.trusted) and listener.expects_header(peer[0])
            if expects or data is None or not self._first_bytes.take(connection, data):
                self._first_bytes.wait(connection, data or b"", expects_header=expects)
        except Exception:
            # Ours to blame, and one connection's end: the listener goes on.
            self._plane.reactor.failed(connection)

    def _intercept(self, connection: Connection) -> bool:
        """Find out where a connection was addressed to; False if that is nowhere behind the gate.

        Then it is reset, and nothing of it was looked at.
        """
        at = destination_of(connection.sock, self._listener.transparent)
        verdict = self._plane.decider.not_intercepted if at is None else connection.goes_to(at)
        if verdict is not None:
            connection.refuse(verdict)
            return False
        return True

    def pause(self, error: OSError) -> None:
        """Out of descriptors: wait for connections to end; what waits stays in the kernel."""
        now = time.monotonic()
        if now >= self._silent_until:  # it may be for each quarter of a second
            self._silent_until = now + _SILENT_SECONDS
            _log.warning(
                "accepting pauses on %s, again and again perhaps: %s",
                self._listener.name,
                error.strerror,
            )
        self._plane.counters.end("accept_paused")
        self._unwatch()
        self._paused = True
