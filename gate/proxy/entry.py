"""Where connections come in: accepted in batches, and most of them decided on the spot.

TCP_DEFER_ACCEPT lets a connection wait in the kernel until its first bytes are there, so one
`recv` straight after `accept` usually has the whole ClientHello or request head. Only what is
not complete by then becomes an `Arrival` and is watched.

Listening sockets pass their options on to what they accept. A tls listener's is set to reset on
close, so that refusing costs no system call beyond the close itself; whoever keeps a connection
switches that off first.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from ipaddress import ip_address, ip_network
from socket import MSG_DONTWAIT, SO_LINGER, SOL_SOCKET, SocketType
from typing import Final

from gate.proxy.arrival import Arrival, opens_http
from gate.proxy.http import HTTP, HttpConnection
from gate.proxy.plane import LINGER_OFF, LINGER_RESET, READ_BYTES, ListenerState, Peer, Plane
from gate.proxy.reactor import IN
from gate.proxy.tls import judge_hello, refuse_tls, wave_tls
from gate.proxy.upstream import EXHAUSTED
from gate.wire.http1 import BadMessage, Framing
from gate.wire.tls import BadHello, parse_client_hello

log = logging.getLogger(__name__)

_NO_BODY: Final = Framing.NONE  # a global: see http_parts.py
_BATCH = 64
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

    def __init__(self, plane: Plane, listener: ListenerState, sock: socket.socket) -> None:
        self._plane = plane
        self._listener = listener
        self._sock = sock
        # The public accept() wraps each descriptor in a Python-level socket with calls of its
        # own; this is the one underneath, which the public one is built on.
        self._accept = sock._accept  # type: ignore[attr-defined]
        self._family = sock.family
        self._tls = listener.settings.kind == "tls"
        self._trusted = [ip_network(n) for n in listener.settings.proxy_protocol_from]
        prepare(sock, listener.settings.kind)
        self._paused = False
        self._guess = 1  # how many connections wait

    def open(self) -> None:
        """Start accepting. Raises OSError where the kernel has no room for a watch."""
        self._plane.reactor.watch(self._sock.fileno(), IN, self.on_ready)
        self._paused = False

    def close(self) -> None:
        """Stop accepting; the socket is the supervisor's, and stays open."""
        self._paused = False
        self._plane.reactor.unwatch(self._sock.fileno())

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
            if error.errno in EXHAUSTED:  # accepting again at once would only spin
                self._pause(error)
                return False
            return True  # the client gave up while it waited
        self._listener.accepted += 1
        sock = SocketType(self._family, socket.SOCK_STREAM, 0, fd)
        try:
            self._begin(sock, peer)
        except Exception:
            # Ours to blame, and one connection's end: the listener goes on.
            self._plane.reactor.failed(None)
            self._plane.reactor.retire(sock)
        return True

    def _begin(self, sock: SocketType, peer: Peer) -> None:
        """Take a new connection as far as its first bytes go."""
        try:
            data = sock.recv(READ_BYTES, MSG_DONTWAIT)
        except BlockingIOError:
            self._wait(sock, peer, b"")
            return
        except OSError:
            data = b""
        if not data:
            sock.close()
        elif self._trusted and self._is_trusted(peer):
            self._wait(sock, peer, data)
        elif data[0] == 0x16:
            self._take_tls(sock, peer, data)
        elif opens_http(self._listener.settings.kind, data):
            self._take_http(sock, peer, data)
        else:
            self._refuse(sock, peer, data)

    def _take_tls(self, sock: SocketType, peer: Peer, data: bytes) -> None:
        try:
            hello = parse_client_hello(data)
        except BadHello:
            self._refuse(sock, peer, data)
            return
        if hello is None:
            self._wait(sock, peer, data)
        else:
            listener = self._listener
            judge_hello(self._plane, listener, sock, peer, listener.accepted, hello, data, False)

    def _take_http(self, sock: SocketType, peer: Peer, data: bytes) -> None:
        plane = self._plane
        try:
            head = plane.requests_parser.parse(data)
        except BadMessage:
            head = None  # the connection will meet it again, and answer
        if (
            head is not None
            and head.host is not None
            and head.framing is _NO_BODY
            and head.consumed == len(data)
            and self._turned_away(sock, peer, head.host)
        ):
            return
        if self._keep(sock, peer):
            listener = self._listener
            HttpConnection(plane, listener, sock, peer, listener.accepted).start(data, head)

    def _turned_away(self, sock: SocketType, peer: Peer, host: bytes) -> bool:
        """Redirect and close, if that is the verdict on the only request that came."""
        plane, listener = self._plane, self._listener
        verdict = plane.decider.decide(host)
        if verdict.allowed or not listener.enforcing or verdict is plane.decider.malformed:
            return False
        plane.requests += 1
        plane.responses[3] += 1
        plane.ends["answered"] += 1
        listener.blocked[HTTP][verdict.code] += 1
        plane.observe(listener.settings.name, "http", peer[0], verdict, False, listener.accepted)
        response = plane.answers.redirect(verdict)
        plane.bytes_down += len(response)
        if self._tls:
            sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_OFF)
        with contextlib.suppress(OSError):  # the client has gone already
            sock.send(response, MSG_DONTWAIT)
        sock.close()  # all that the client sent was read: closing loses nothing
        return True

    def _wait(self, sock: SocketType, peer: Peer, data: bytes) -> None:
        """Watch a connection whose first bytes are not all there."""
        if self._keep(sock, peer):
            trusted = bool(self._trusted) and self._is_trusted(peer)
            arrival = Arrival(self._plane, self._listener, sock, peer, expects_header=trusted)
            arrival.start(data)

    def _keep(self, sock: SocketType, peer: Peer) -> bool:
        """Let a connection in if the limits allow; make it ready to be watched."""
        if not self._plane.admit(peer[0]):
            plane = self._plane
            listener = self._listener
            refuse_tls(plane, listener, sock, peer, listener.accepted, plane.decider.limit, False)
            return False
        sock.setblocking(False)
        if self._tls:
            sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_OFF)
        return True

    def _refuse(self, sock: SocketType, peer: Peer, data: bytes) -> None:
        """Neither TLS nor HTTP, or a ClientHello that is none; monitoring lets it through."""
        plane, listener = self._plane, self._listener
        verdict = plane.decider.malformed
        if listener.enforcing or not self._tls:
            refuse_tls(plane, listener, sock, peer, listener.accepted, verdict, False)
        else:
            wave_tls(plane, listener, sock, peer, listener.accepted, verdict, data, False)

    def _is_trusted(self, peer: Peer) -> bool:
        address = ip_address(peer[0])
        return any(address in network for network in self._trusted)

    def _pause(self, error: OSError) -> None:
        """Out of descriptors: wait for connections to end; what waits stays in the kernel."""
        log.warning("accepting pauses on %s: %s", self._listener.settings.name, error.strerror)
        self._plane.ends["accept_paused"] += 1
        self._plane.reactor.unwatch(self._sock.fileno())
        self._paused = True
