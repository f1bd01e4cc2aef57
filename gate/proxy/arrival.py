"""A connection that cannot be judged yet: its first bytes are missing or incomplete.

First a PROXY header where a trusted peer is to send one, then enough bytes to tell TLS from
HTTP, then a whole ClientHello. HTTP is handed on at once; heads are the HTTP connection's work.
"""

from __future__ import annotations

from socket import SocketType

from gate.policy import Verdict
from gate.proxy.http import HttpConnection
from gate.proxy.plane import OVER_BUDGET, READ_BYTES, ListenerState, Peer, Plane, reset
from gate.proxy.reactor import IN
from gate.proxy.tls import judge_hello, refuse_tls, wave_tls
from gate.wire import proxy_protocol
from gate.wire.proxy_protocol import BadProxyHeader
from gate.wire.tls import BadHello, ClientHelloReader, looks_like_http, looks_like_tls


def opens_http(kind: str, first: bytes) -> bool:
    """Whether a connection that opens with `first` is to be read as HTTP.

    On a tls port that takes what can open a request line. On an http port all but TLS is HTTP,
    so that a malformed request is answered by a 400 and not by a bare reset.
    """
    return looks_like_http(first) or (kind == "http" and not looks_like_tls(first))


class Arrival:
    """One such connection. The plane has admitted it; it is counted out when it ends."""

    __slots__ = (
        "_accepted",
        "_charged",
        "_data",
        "_deadline",
        "_expects_header",
        "_hello",
        "_peer",
        "_plane",
        "_sock",
        "bucket",
        "listener",
        "number",
    )

    verdict = None  # not judged yet

    def __init__(
        self,
        plane: Plane,
        listener: ListenerState,
        sock: SocketType,
        peer: Peer,
        *,
        expects_header: bool,
    ) -> None:
        self._plane = plane
        self.listener = listener
        self.number = listener.accepted  # it was accepted just now
        self._sock: SocketType | None = sock
        self._peer = peer
        self._expects_header = expects_header
        self._hello: ClientHelloReader | None = None
        self._data = b""  # until there is a reader of the hello, which keeps what comes
        self._charged = 0  # bytes of it that the worker's budget knows of
        limits = plane.settings.limits
        tls = listener.settings.kind == "tls"
        self._accepted = plane.reactor.now
        self._deadline = self._accepted + (limits.hello_seconds if tls else limits.head_seconds)
        self.bucket = 0

    @property
    def connection(self) -> str:
        """Its name in the log."""
        return self._plane.connection(self.listener, self.number)

    def start(self, data: bytes) -> None:
        """Begin with the first bytes, perhaps none."""
        sock = self._sock
        if sock is None:
            return
        try:
            self._plane.reactor.watch(sock.fileno(), IN, self.on_ready)
        except OSError:
            self.abort("failed")  # nobody else knows of it yet, to count it out
            raise
        self._plane.reactor.schedule(self, self._deadline)
        if data:
            self._take(sock, data)

    def on_ready(self, events: int) -> None:
        """More bytes, or the end."""
        sock = self._sock
        if sock is None:
            return
        try:
            data = sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(sock, data)
        elif self._data or self._hello is not None:
            self._refuse(self._plane.decider.malformed)  # a truncated hello or header
        else:
            self._end("silent")

    def _take(self, sock: SocketType, data: bytes) -> None:
        self._look_at(sock, data)
        if self._sock is None:
            return
        if self._plane.hold(len(data)):
            self._charged += len(data)
        else:
            self._refuse(self._plane.decider.limit, OVER_BUDGET)

    def _look_at(self, sock: SocketType, data: bytes) -> None:
        if self._hello is not None:
            self._read_hello(sock, self._hello, data)
            return
        self._data += data
        if self._expects_header and not self._read_header():
            return
        if not self._data:
            return
        # One byte tells TLS from everything else.
        if self._data[0] == 0x16:
            self._hello = ClientHelloReader()
            first, self._data = self._data, b""
            self._read_hello(sock, self._hello, first)
        elif opens_http(self.listener.settings.kind, self._data):
            self._let_go(sock)
            HttpConnection(self._plane, self.listener, sock, self._peer, self.number).start(
                self._data
            )
        else:
            self._refuse(self._plane.decider.malformed)

    def _read_header(self) -> bool:
        """Take the PROXY header off; return whether it is complete."""
        try:
            parsed = proxy_protocol.parse(self._data)
        except BadProxyHeader:
            self._refuse(self._plane.decider.malformed)
            return False
        if parsed is None:
            return False
        header, used = parsed
        self._expects_header = False
        self._data = self._data[used:]
        if header.source is not None:
            before = self._peer[0]
            self._peer = (str(header.source.ip), header.source.port)
            if not self._plane.readmit(before, self._peer[0]):
                self._refuse(self._plane.decider.limit)
                return False
        return True

    def _read_hello(self, sock: SocketType, reader: ClientHelloReader, data: bytes) -> None:
        plane = self._plane
        try:
            hello = reader.feed(data)
        except BadHello:
            self._refuse(self._plane.decider.malformed)
            return
        if hello is not None:
            self._let_go(sock)
            first = self._bytes()
            try:
                judge_hello(plane, self.listener, sock, self._peer, self.number, hello, first, True)
            except Exception:
                self._failed(sock)
                raise

    def _bytes(self) -> bytes:
        """All that the client has sent, without a PROXY header."""
        return self._data if self._hello is None else bytes(self._hello.raw)

    def _refuse(self, verdict: Verdict, cause: str = "") -> None:
        """Reset for bad behaviour; in monitor mode let TLS-like bytes through all the same.

        `cause` is that of the connection's end, if it is not the verdict's reason.
        """
        sock, plane, listener = self._sock, self._plane, self.listener
        if sock is None:
            return
        self._let_go(sock)
        passes = not listener.enforcing and listener.settings.kind == "tls"
        try:
            if passes and verdict is not plane.decider.limit:
                first = self._bytes()
                wave_tls(plane, listener, sock, self._peer, self.number, verdict, first, True)
            else:
                refuse_tls(plane, listener, sock, self._peer, self.number, verdict, True, cause)
        except Exception:
            self._failed(sock)
            raise

    def _failed(self, sock: SocketType) -> None:
        """Its judging broke before anybody took it over: nobody else counts it out."""
        reset(sock)
        self._plane.reactor.retire(sock)
        self._plane.leave(self._peer[0], "failed")

    def _let_go(self, sock: SocketType) -> None:
        plane = self._plane
        plane.first_bytes_seconds.observe(plane.reactor.now - self._accepted)
        self._plane.reactor.unwatch(sock.fileno())
        self._plane.reactor.unschedule(self)
        self._sock = None
        plane.pending -= self._charged

    def check(self, now: float) -> float:
        """The first bytes have not come in time."""
        if self._sock is None:
            return 0.0
        if now < self._deadline:
            return self._deadline
        self._refuse(self._plane.decider.timeout)
        return 0.0

    def abort(self, cause: str = "aborted") -> None:
        """End at once, with a reset."""
        self._end(cause)

    def _end(self, cause: str) -> None:
        sock = self._sock
        if sock is not None:
            self._let_go(sock)
            sock.close()
            self._plane.leave(self._peer[0], cause)
