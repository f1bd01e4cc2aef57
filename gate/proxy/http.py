"""The client's side of an HTTP connection: heads are read and judged here, one by one.

Requests on one connection are handled strictly in turn: the next head is not looked at before
the response to the last one is complete, so pipelined requests are answered in order, and a
blocked one after all that came before it. What is forwarded is an `Exchange`'s business.
"""

from __future__ import annotations

from select import EPOLLERR, EPOLLHUP
from socket import MSG_DONTWAIT, SocketType

from gate.policy import Verdict
from gate.proxy.http_ending import DRAIN_IDLE, answer_last, flush, linger
from gate.proxy.http_exchange import Exchange
from gate.proxy.http_pending import settle
from gate.proxy.http_relay import watch
from gate.proxy.http_state import BUSY, CLOSED, FLUSH, HEAD, LINGER
from gate.proxy.plane import (
    READ_BYTES,
    ListenerState,
    Peer,
    Plane,
    reset,
)
from gate.proxy.proxy_header import header_for
from gate.proxy.reactor import IN, OUT
from gate.proxy.upstream import Pool
from gate.wire.http1 import (
    HTTP_0_9,
    BadMessage,
    RequestHead,
    forwarded_part,
)

HTTP = 0  # index of HTTP in a listener's figures


class HttpConnection:
    """One client connection. The plane has admitted it; it is counted out when it ends."""

    __slots__ = (
        "_searched",
        "bucket",
        "buffer",
        "charged",
        "closes",
        "deadline",
        "eof",
        "events",
        "exchange",
        "forwarded",
        "held",
        "listener",
        "number",
        "peer",
        "plane",
        "sock",
        "state",
        "verdict",
    )

    def __init__(
        self, plane: Plane, listener: ListenerState, sock: SocketType, peer: Peer, number: int
    ) -> None:
        self.plane = plane
        self.listener = listener
        self.sock = sock
        self.peer = peer
        self.number = number
        self.buffer = b""
        self.charged = 0  # bytes of the buffer that the worker's budget knows of
        self.held: memoryview | None = None  # response bytes that the client has yet to take
        self.eof = False  # the client has ended its side
        self.closes = False  # once the client has what is held for it
        self.state = HEAD
        self.verdict: Verdict | None = None
        self.bucket = 0
        self.deadline = plane.reactor.now + plane.settings.limits.head_seconds
        self.exchange: Exchange | None = None
        # The fields that tell the upstream who the client is.
        self.forwarded = forwarded_part(peer[0], "http")
        self._searched = 0
        self.events = -1  # not watched

    @property
    def connection(self) -> str:
        """Its name in the log."""
        return self.plane.connection(self.listener, self.number)

    def start(self, data: bytes, head: RequestHead | None = None) -> None:
        """Begin with the first bytes, perhaps none; the socket is not watched yet.

        `head` is what the bytes begin with, if it was parsed already.
        """
        try:
            if head is not None:
                self._take_head(head, data)
            elif data:
                self._first_bytes(data)
            if self.events < 0 and self.state is not CLOSED:
                self.want(IN)
        except Exception:
            self.abort("failed")  # nobody else knows of it yet, to count it out
            raise
        if self.state is not CLOSED:
            reactor = self.plane.reactor
            reactor.schedule(self, self.next_check(reactor.now))

    def proxy_header(self, pool: Pool) -> bytes:
        """The PROXY protocol header that goes first on a new connection to `pool`, if any."""
        return header_for(pool, self.sock, self.peer)

    # Readiness.

    def on_client(self, events: int) -> None:
        """The client's socket is ready."""
        if events == IN and self.state is HEAD and not self.buffer:
            data = self._read()
            if data:
                self._first_bytes(data)
            return
        if events & OUT and self.state is not CLOSED:
            flush(self)
        if events & ~OUT and self.state is not CLOSED:
            self._readable(events)

    def _readable(self, events: int) -> None:
        state = self.state
        if self.eof or not self.events & IN:
            # Nothing may be read now, so this is an error or a hang-up; or something to read that
            # was seen before it was decided not to read, and will be seen again.
            if events & EPOLLERR or (events & EPOLLHUP and state is not BUSY):
                self.end("peer_reset", cut=True)
            elif events & EPOLLHUP:
                self.plane.reactor.unwatch(self.sock.fileno())
                self.events = -1
            return
        if state is BUSY and self.exchange is not None and self.exchange.wants_body:
            self.exchange.client_readable()
            return
        if state is BUSY and self.plane.full:
            self.want(self.events & ~IN)  # what it sends ahead can wait in the kernel
            return
        data = self._read()
        if not data:
            return
        if state is HEAD:
            self.buffer += data
            self._process()
        elif state is not LINGER:
            self.buffer += data
            if settle(self) and self.exchange is not None and state is BUSY:
                watch(self.exchange)

    def _read(self) -> bytes:
        """What the client sent; nothing if that is nothing, or the end, which is acted on."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            self.end("peer_reset", cut=True)
            return b""
        if not data:
            self._client_ended()
        return data

    def _client_ended(self) -> None:
        """The client sends nothing more. It may still wait for a response."""
        self.eof = True
        if self.state is HEAD:
            self.end("truncated" if self.buffer else "closed")
        elif self.state is LINGER:
            self.end("closed")
        else:
            self.want(self.events & ~IN)

    # Judging.

    def _first_bytes(self, data: bytes) -> None:
        """A head, or its beginning, has come while nothing else was under way."""
        plane = self.plane
        try:
            head = plane.requests_parser.parse(data)
        except BadMessage as bad:
            self.malformed(bad.status, bad.detail)
            return
        if head is None:
            self.buffer = data
            self._searched = len(data)
            self.deadline = plane.reactor.now + plane.settings.limits.head_seconds
            settle(self)
        else:
            self._take_head(head, data)

    def _take_head(self, head: RequestHead, data: bytes) -> None:
        """Judge the request that `data` begins with, then what comes after it."""
        if head.consumed == len(data):
            self._judge(head)
        else:
            self.buffer = data[head.consumed :]
            self._judge(head)
            self._process()

    def _process(self) -> None:
        """Take request heads from the buffer for as long as each is dealt with at once."""
        while self.state is HEAD and self.buffer:
            try:
                head = self.plane.requests_parser.parse(self.buffer, 0, self._searched)
            except BadMessage as bad:
                self.malformed(bad.status, bad.detail)
                return
            if head is None:
                self._searched = len(self.buffer)
                if self.eof:
                    self.end("truncated")  # the rest can never come
                break
            self._searched = 0
            self.buffer = self.buffer[head.consumed :]
            self._judge(head)
        settle(self)

    def _judge(self, head: RequestHead) -> None:
        plane, listener = self.plane, self.listener
        plane.requests += 1
        host = head.host
        verdict = plane.decider.decide(host) if host else plane.decider.no_host
        self.verdict = verdict
        if verdict.allowed:
            listener.passed[HTTP][verdict.code] += 1
            if plane.observing:
                plane.observe(
                    listener.settings.name, "http", self.peer[0], verdict, True, self.number
                )
        elif verdict is plane.decider.malformed:
            self.count_blocked(verdict)
            self.refuse(400, "the Host is not a valid domain name")
            return
        elif listener.enforcing:
            self.count_blocked(verdict)
            redirect = b"" if head.minor == HTTP_0_9 else plane.answers.redirect(verdict)
            answer_last(self, redirect, head)
            return
        else:
            listener.waved[HTTP][verdict.code] += 1
            plane.observe(listener.settings.name, "http", self.peer[0], verdict, True, self.number)
        if head.minor == HTTP_0_9:
            self.refuse(505, "HTTP/0.9 is not forwarded; use HTTP/1.1")
            return
        self.state = BUSY
        exchange = self.exchange
        if exchange is None:
            exchange = self.exchange = Exchange(self)
        exchange.begin(head, verdict)

    def count_blocked(self, verdict: Verdict) -> None:
        listener = self.listener
        listener.blocked[HTTP][verdict.code] += 1
        self.plane.observe(
            listener.settings.name, "http", self.peer[0], verdict, False, self.number
        )

    # Answering.

    def malformed(self, status: int, detail: str) -> None:
        """Refuse what the client sent as malformed, and count it so."""
        self.count_blocked(self.plane.decider.malformed)
        self.refuse(status, detail)

    def refuse(self, status: int, detail: str) -> None:
        """Answer with an error and close. The client has been sent no part of a response yet."""
        self.plane.responses[status // 100] += 1
        answer_last(self, self.plane.answers.refusal(status, detail), None)

    def send(self, data: bytes) -> memoryview | None:
        """Send to the client; return what it does not take now.

        A broken connection takes everything: its end is noticed by the next read.
        """
        if self.held is not None:
            return memoryview(data)
        self.plane.bytes_down += len(data)
        try:
            sent = self.sock.send(data, MSG_DONTWAIT)
        except BlockingIOError:
            return memoryview(data)
        except OSError:
            return None
        return memoryview(data)[sent:] if sent < len(data) else None

    def send_or_hold(self, data: bytes) -> None:
        """Send to the client; what it does not take now is held for it."""
        self.held = self.send(data)
        if self.held is not None:
            self.want(max(self.events, 0) | OUT)

    def take_held(self, more: memoryview | None) -> memoryview:
        """What is held for the client, with `more` after it; it is not held any more."""
        held, self.held = self.held, None
        if held is None:
            return more if more is not None else memoryview(b"")
        return held if more is None else memoryview(bytes(held) + bytes(more))

    # Between exchanges, and the end.

    def exchange_done(self, close: bool) -> None:
        """The response is complete and all of it was sent or is held."""
        if self.held is not None:
            self.state = FLUSH
            self.deadline = self.plane.reactor.now + self.plane.settings.limits.body_idle_seconds
            self.want(OUT)  # what the client sends meanwhile stays in the kernel
            self.closes = close
        elif close:
            unread = self.exchange is not None and self.exchange.unread_body
            linger(self) if unread or self.buffer else self.end("closed")
        else:
            self.next_request()

    def next_request(self) -> None:
        """Ready for the next request."""
        self.state = HEAD
        limits = self.plane.settings.limits
        if self.buffer:
            self.deadline = self.plane.reactor.now + limits.head_seconds
            if not self.eof:
                self.want(IN)
            self._process()
        elif self.eof:
            self.end("closed")
        else:
            if self.charged:
                settle(self)
            # In a drain, too: the response may have gone without `Connection: close`, and the
            # next request may be under way. Its response says so.
            idle = min(limits.idle_seconds, DRAIN_IDLE) if self.plane.draining else None
            self.deadline = self.plane.reactor.now + (idle or limits.idle_seconds)
            self.want(IN)

    def want(self, events: int) -> None:
        """Wait for these events on the client's socket, if they are other than before."""
        if events != self.events:
            self.events = events
            self.plane.reactor.update(self.sock.fileno(), events, self.on_client)

    def hand_over(self) -> None:
        """The connection becomes a tunnel, which owns the socket and the admission from now on."""
        self.state = CLOSED
        self.exchange = None
        self.plane.pending -= self.charged
        self.plane.reactor.unschedule(self)

    def check(self, now: float) -> float:
        """Act on the deadline, whatever it is for in this state."""
        if self.state is CLOSED:
            return 0.0
        waiting = self.state is HEAD
        if self.plane.draining and waiting and not self.buffer:
            self.deadline = min(self.deadline, now + DRAIN_IDLE)
        if now < self.deadline:
            pass
        elif waiting and self.buffer.strip(b"\r\n"):
            self.count_blocked(self.plane.decider.timeout)
            self.refuse(408, "the request head was not complete in time")
        elif self.state is BUSY and self.exchange is not None:
            self.exchange.timed_out()
        else:
            idle = "drained" if self.plane.draining else "idle"
            self.end(idle if waiting else "timeout", cut=not waiting)
        return 0.0 if self.closed else self.next_check(now)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.state is CLOSED

    def next_check(self, now: float) -> float:
        """When to look at the deadline again: no later than any that may be set until then."""
        return min(self.deadline, now + self.plane.shortest)

    def abort(self, cause: str = "aborted") -> None:
        """End at once, with a reset."""
        self.end(cause, cut=True)

    def end(self, cause: str, *, cut: bool = False) -> None:
        """Close the client's connection and whatever the exchange holds."""
        if self.state is CLOSED:
            return
        self.state = CLOSED
        self.plane.pending -= self.charged
        if self.exchange is not None:
            self.exchange.abandon()
            self.exchange = None  # the two point at each other: not left to the collector
        if cut:
            reset(self.sock)
        self.plane.reactor.unschedule(self)
        self.plane.reactor.retire(self.sock)
        self.plane.leave(self.peer[0], cause)
