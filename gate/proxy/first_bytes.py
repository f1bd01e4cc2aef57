"""What a connection's first bytes say it is: told in one place, and handed on from there.

Most connections are told by the one read straight after their accept (see accept.py): that is the
fast case, which `take` settles on the spot. One whose first bytes are missing or not complete
becomes an `Arrival`, which is watched, and comes back to the same `take` with all that it has
gathered: first a PROXY header where a trusted peer is to send one, then enough to tell TLS from
HTTP, then a whole ClientHello. HTTP is handed on at once; heads are the HTTP connection's work.
"""

from __future__ import annotations

from socket import SocketType
from typing import Final

from gate.policy import Verdict
from gate.proxy import http, tls
from gate.proxy.admission import OVER_BUDGET, READ_BYTES
from gate.proxy.connection import Connection
from gate.proxy.reactor import IN
from gate.wire import proxy_protocol
from gate.wire.proxy_protocol import BadProxyHeader
from gate.wire.tls import (
    BadHello,
    ClientHelloReader,
    fault_of,
    looks_like_http,
    looks_like_tls,
    parse_client_hello,
)

# Kinds of faults beside those of a ClientHello (HelloFault): a hello or a PROXY header that the
# client broke off, and a PROXY header that is none.
_TRUNCATED: Final = "truncated"
_PROXY_HEADER: Final = "proxy_header"
_HANDSHAKE: Final = 0x16  # the first byte of a TLS record that can hold a ClientHello


class FirstBytes:
    """Hands connections on by their first bytes. One for each worker."""

    __slots__ = ("_http",)

    def __init__(self, http_plane: http.HttpPlane) -> None:
        self._http = http_plane

    def take(self, connection: Connection, data: bytes, arrival: Arrival | None = None) -> bool:
        """Hand a connection on by its first bytes, of which there is at least one.

        False says that they do not tell enough yet. `arrival` has gathered them, if there is one;
        it lets go of the connection first.
        """
        # One byte tells TLS from everything else. On a tls port what can open a request line is
        # HTTP; on an http port all but TLS is, so that a malformed request is answered by a 400
        # and not by a bare reset.
        if data[0] == _HANDSHAKE:
            try:
                hello = parse_client_hello(data)
            except BadHello as bad:
                self._malformed(connection, data, arrival, bad.kind)
                return True
            if hello is None:
                return False
            if arrival is not None:
                arrival.let_go()
            tls.take(connection, hello, data)
        elif looks_like_http(data) or (
            connection.listener.kind == "http" and not looks_like_tls(data)
        ):
            if arrival is not None:
                arrival.let_go()
            http.take(self._http, connection, data)
        else:
            self._malformed(connection, data, arrival, fault_of(data))
        return True

    def wait(self, connection: Connection, data: bytes, *, expects_header: bool) -> None:
        """Watch a connection whose first bytes are not all there, if the limits let it in."""
        if connection.admit():
            Arrival(self, connection, expects_header=expects_header).start(data)

    def _malformed(
        self, connection: Connection, data: bytes, arrival: Arrival | None, fault: str
    ) -> None:
        if arrival is not None:
            arrival.let_go()
        refuse_or_monitor(connection, connection.malformed(fault), data)


def refuse_or_monitor(
    connection: Connection, verdict: Verdict, data: bytes, cause: str = ""
) -> None:
    """Reset for first bytes that cannot be judged; where it only monitors, let TLS through.

    All that comes to a tls port is meant for a TLS origin. `cause` is that of the connection's
    end, if it is not the verdict's reason.
    """
    listener = connection.listener
    for_tls = listener.kind == "tls" or (bool(data) and data[0] == _HANDSHAKE)
    if (
        for_tls
        and not connection.enforcing
        and verdict is not connection.plane.decider.limit  # that is the gate's own bound
    ):
        tls.monitor(connection, verdict, data)
    else:
        connection.refuse(verdict, cause)


class Arrival:
    """A connection that waits for its first bytes, with those that have come."""

    __slots__ = (
        "_accepted",
        "_charged",
        "_data",
        "_deadline",
        "_expects_header",
        "_first_bytes",
        "_hello",
        "_sock",
        "bucket",
        "connection",
    )

    def __init__(
        self, first_bytes: FirstBytes, connection: Connection, *, expects_header: bool
    ) -> None:
        plane = connection.plane
        self._first_bytes = first_bytes
        self.connection = connection
        self._sock: SocketType | None = connection.sock
        self._expects_header = expects_header
        self._hello: ClientHelloReader | None = None
        self._data = b""  # until there is a reader of the hello, which keeps what comes
        self._charged = 0  # bytes of it that the worker's budget knows of
        limits = plane.settings.limits
        tls_port = connection.listener.kind == "tls"
        self._accepted = plane.reactor.now
        self._deadline = self._accepted + (
            limits.hello_seconds if tls_port else limits.head_seconds
        )
        self.bucket = 0

    def start(self, data: bytes) -> None:
        """Begin with the first bytes, perhaps none."""
        sock = self._sock
        if sock is None:
            return
        reactor = self.connection.plane.reactor
        reactor.watch(sock.fileno(), IN, self.on_ready)
        reactor.schedule(self, self._deadline)
        if data:
            self._take(data)

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
            self._take(data)
        elif self._data or self._hello is not None:
            self._refuse(self.connection.malformed(_TRUNCATED))
        else:
            self._end("silent")

    def _take(self, data: bytes) -> None:
        try:
            self._look_at(data)
            if self._sock is None:
                return
            plane = self.connection.plane
            if plane.budget.hold(len(data)):
                self._charged += len(data)
            else:
                self._refuse(plane.decider.limit, OVER_BUDGET)
        except Exception:
            self.let_go()
            self.connection.abort()  # unless somebody has taken it over who counted it out
            raise

    def _look_at(self, data: bytes) -> None:
        if self._hello is not None:
            self._read_hello(self._hello, data)
            return
        self._data += data
        if self._expects_header and not self._read_header():
            return
        if self._data and not self._first_bytes.take(self.connection, self._data, self):
            self._hello = ClientHelloReader()
            first, self._data = self._data, b""
            self._read_hello(self._hello, first)

    def _read_header(self) -> bool:
        """Take the PROXY header off; return whether it is complete."""
        try:
            parsed = proxy_protocol.parse(self._data)
        except BadProxyHeader:
            self._refuse(self.connection.malformed(_PROXY_HEADER))
            return False
        if parsed is None:
            return False
        header, used = parsed
        self._expects_header = False
        self._data = self._data[used:]
        connection = self.connection
        if header.destination is not None:
            connection.has_come_to(header.destination)
        if header.source is not None:
            peer = (str(header.source.ip), header.source.port)
            if not connection.readmit(peer):
                self._refuse(connection.plane.decider.limit)
                return False
        upstreams = connection.plane.settings.upstreams
        if header.destination is not None and upstreams.proxy_destination:
            at = str(header.destination.ip), header.destination.port
            verdict = connection.goes_to(at, upstreams.default.send_proxy)
            if verdict is not None:
                self.let_go()
                connection.refuse(verdict)
                return False
        return True

    def _read_hello(self, reader: ClientHelloReader, data: bytes) -> None:
        try:
            hello = reader.feed(data)
        except BadHello as bad:
            self._refuse(self.connection.malformed(bad.kind))
            return
        if hello is not None:
            self.let_go()
            tls.take(self.connection, hello, self._bytes())

    def _bytes(self) -> bytes:
        """Return all that the client has sent, without a PROXY header."""
        return self._data if self._hello is None else bytes(self._hello.raw)

    def _refuse(self, verdict: Verdict, cause: str = "") -> None:
        if self._sock is None:
            return
        self.let_go()
        refuse_or_monitor(self.connection, verdict, self._bytes(), cause)

    def let_go(self) -> None:
        """Watch the connection no more: somebody else takes it over, or ends it."""
        sock = self._sock
        if sock is None:
            return
        plane = self.connection.plane
        plane.counters.first_bytes(plane.reactor.now - self._accepted)
        plane.reactor.unwatch(sock.fileno())
        plane.reactor.unschedule(self)
        plane.budget.release(self._charged)
        self._sock = None

    def check(self, now: float) -> float:
        """Refuse it, if the first bytes have not come in time; return when to look again."""
        if self._sock is None:
            return 0.0
        if now < self._deadline:
            return self._deadline
        self._refuse(self.connection.plane.decider.timeout)
        return 0.0

    def abort(self, cause: str = "aborted") -> None:
        """End at once, with a reset."""
        self._end(cause)

    def _end(self, cause: str) -> None:
        if self._sock is not None:
            self.let_go()
            self.connection.end(cause)
