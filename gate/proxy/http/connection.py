"""A client's HTTP connection: heads are read and judged here, one by one.

Its states, and what an event does in each, are in states.py; the methods that bear an action's
name are that action. What is forwarded is an `Exchange`'s business.
"""

from __future__ import annotations

from select import EPOLLHUP
from socket import SocketType
from typing import Final

from gate.policy import Verdict
from gate.proxy.admission import OVER_BUDGET, READ_BYTES
from gate.proxy.connection import Connection
from gate.proxy.counters import HTTP
from gate.proxy.http.client import ClientSide
from gate.proxy.http.exchange import Exchange
from gate.proxy.http.parts import is_head
from gate.proxy.http.plane import HttpPlane
from gate.proxy.http.simple_request import relay
from gate.proxy.http.states import (
    BUSY,
    CLOSED,
    DRAIN_IDLE_SECONDS,
    FLUSH,
    HEAD,
    IDLE,
    LINGER,
    TABLE,
    HttpEvent,
)
from gate.proxy.reactor import ERR, IN, OUT
from gate.proxy.upstream import OriginEndpoint, Pool, UpstreamError
from gate.wire.http1 import HTTP_0_9, BadMessage, Framing, RequestHead, RequestParser

_NO_BODY: Final = Framing.NONE  # a global: see parts.py


class HttpConnection:
    """One client's connection that speaks HTTP. It is admitted, and ends with this."""

    __slots__ = ("_closes", "_forwarded", "_http", "_plane", "_requests", "_searched", "_to_head",
                 "bucket", "client", "connection", "exchange", "state")  # fmt: skip

    def __init__(self, http: HttpPlane, connection: Connection, requests: RequestParser) -> None:
        """`requests` reads the heads that this client sends."""
        self._http = http
        self._plane = connection.plane
        self._requests = requests
        self.connection = connection
        self.client = ClientSide(connection, self.on_client)
        self.client.wait(http.seconds[HEAD])
        self.exchange: Exchange | None = None
        self.state = IDLE
        self.bucket = 0
        # The fields that tell the upstream who the client is.
        self._forwarded = requests.rules.client(connection.peer[0])
        self._closes = False  # once the client has what is held for it
        self._to_head = False  # whether it is a HEAD that is answered
        self._searched = 0  # how much of the buffer is known not to end a head

    def start(
        self, data: bytes, head: RequestHead | None = None, verdict: Verdict | None = None
    ) -> None:
        """Begin with the first bytes; the socket is not watched yet.

        `head` is what the bytes begin with, if it was parsed already, and `verdict` is on it.
        """
        try:
            if head is not None and verdict is not None:
                self._take_head(head, verdict, data)
            else:
                self._first_bytes(data)
            if self.client.events < 0 and self.state is not CLOSED:
                self.client.want(IN)
        except Exception:
            self.abort("failed")  # nobody else knows of it yet, to count it out
            raise
        if self.state is not CLOSED:
            reactor = self._plane.reactor
            reactor.schedule(self, self._next_check(reactor.now))

    def resume(self, upstream: SocketType | None, endpoint: OriginEndpoint) -> None:
        """Go on between two requests, with an upstream connection of its own if there is one.

        Neither socket is watched.
        """
        self.exchange = Exchange(self._http, self.client, self)
        self.exchange.share_no_more()
        if upstream is not None:
            self.exchange.resume(upstream, endpoint)
        reactor = self._plane.reactor
        reactor.schedule(self, reactor.now)
        self._next_request()

    # Events.

    def on_client(self, events: int) -> None:
        """The client's socket is ready."""
        client = self.client
        if events == IN and self.state is IDLE and not client.buffer:
            data = self._read()
            if data:
                self._first_bytes(data)
            return
        if events & OUT:
            self._do(HttpEvent.WRITABLE)
        if events & ~OUT:
            if client.readable:
                self._do(HttpEvent.READABLE)
            # Nothing may be read now, so this is an error or a hang-up; or something to read that
            # was seen before it was decided not to read, and will be seen again.
            elif events & ERR:
                self._do(HttpEvent.ERROR)
            elif events & EPOLLHUP:
                self._do(HttpEvent.HANGUP)

    def check(self, now: float) -> float:
        """Act on the deadline, if it has passed; return when to look at it again."""
        if self._plane.draining:
            self.hurry()
        if now >= self.client.deadline:
            self._do(HttpEvent.DEADLINE)
        return 0.0 if self.state is CLOSED else self._next_check(now)

    def _next_check(self, now: float) -> float:
        """Return when to look at the deadline again: before any that may be set until then."""
        return min(self.client.deadline, now + self._http.shortest)

    def _do(self, event: HttpEvent) -> None:
        _ACTIONS[self.state][event](self)

    def _read(self) -> bytes:
        """Return what the client sent: b"" if nothing, or its end, which is acted on."""
        try:
            data = self.client.sock.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            self._do(HttpEvent.ERROR)
            return b""
        if not data:
            self.client.end_of_input()
            self._do(HttpEvent.ENDED)
        return data

    # Actions.

    def read_head(self) -> None:
        """Read on in a request's head: to HEAD, or as far as its verdict leads."""
        data = self._read()
        if data:
            self.client.keep(data)
            self._process()

    def read_ahead(self) -> None:
        """Read for the request's body, or what is sent ahead of the response; stays."""
        exchange = self.exchange if self.state is BUSY else None
        if exchange is not None and exchange.wants_body:
            exchange.pump_up()
        elif self.state is BUSY and self._plane.budget.full:
            self.client.want_no(IN)  # what it sends ahead can wait in the kernel
        else:
            data = self._read()
            if data:
                self.client.keep(data)
                if self.settle() and exchange is not None:
                    exchange.watch()

    def discard(self) -> None:
        """Read what nobody wants any more; stays."""
        self._read()

    def stand_by(self) -> None:
        """The client sends nothing more, but may still wait for the response; stays."""
        self.client.want_no(IN)

    def flush(self) -> None:
        """Send what is held: from FLUSH to IDLE or LINGER when all is gone; else stays."""
        client = self.client
        if client.held is not None:
            try:
                moved = client.flush()
            except OSError:
                self.reset()
                return
            if moved:
                client.wait(self._http.seconds[FLUSH])
            if client.held is not None:
                return
        if self.state is FLUSH:
            client.want_no(OUT)
            if self._closes:
                self._linger()
            else:
                self._next_request()
        elif self.exchange is not None:
            self.exchange.client_writable()

    def unwatch(self) -> None:
        """Hear no more of the client; stays."""
        self.client.unwatch()

    def close(self) -> None:
        """To CLOSED, in order."""
        self.end("closed")

    def close_truncated(self) -> None:
        """To CLOSED: the rest of the head can never come."""
        self.end("truncated")

    def close_idle(self) -> None:
        """To CLOSED: no request has come in time."""
        self.end("drained" if self._plane.draining else "idle")

    def reset(self) -> None:
        """To CLOSED: the client has broken off."""
        self.end("peer_reset", cut=True)

    def cut(self) -> None:
        """To CLOSED: the client takes, or ends, too slowly."""
        self.end("timeout", cut=True)

    def refuse_slow_head(self) -> None:
        """Answer 408: to LINGER, by FLUSH where the client does not take it."""
        self._to_head = is_head(self.client.buffer)
        self._count_blocked(self._plane.decider.timeout)
        self.refuse(408, "the request head was not complete in time")

    def time_out_exchange(self) -> None:
        """The exchange knows whose fault that is."""
        if self.exchange is not None:
            self.exchange.timed_out()

    def nothing(self) -> None:
        """Stay."""

    # Heads.

    def _first_bytes(self, data: bytes) -> None:
        """A head, or its beginning, has come while nothing else was under way."""
        try:
            head = self._requests.parse(data)
        except BadMessage as bad:
            self._to_head = is_head(data)
            self.malformed(bad)
            return
        if head is None:
            self.client.replace(data)
            self._incomplete()
            self.client.wait(self._http.seconds[HEAD])
            self.settle()
        else:
            verdict = self._http.judge(head, self.connection.peer[0])
            if head.consumed == len(data):
                self._act(head, verdict)
            else:
                self._take_head(head, verdict, data)

    def _take_head(self, head: RequestHead, verdict: Verdict, data: bytes) -> None:
        """Act on the request that `data` begins with, then on what comes after it."""
        if head.consumed == len(data):
            self._act(head, verdict)
        else:
            self.client.replace(data[head.consumed :])
            self._act(head, verdict)
            self._process()

    def _process(self) -> None:
        """Take request heads from the buffer for as long as each is dealt with at once."""
        client = self.client
        while client.buffer and (self.state is IDLE or self.state is HEAD):
            try:
                head = self._requests.parse(client.buffer, 0, self._searched)
            except BadMessage as bad:
                self._to_head = is_head(client.buffer)
                self.malformed(bad)
                return
            if head is None:
                self._incomplete()
                if client.ended:
                    self._do(HttpEvent.ENDED)
                break
            self._searched = 0
            client.replace(client.buffer[head.consumed :])
            self._act(head, self._http.judge(head, self.connection.peer[0]))
        self.settle()

    def _incomplete(self) -> None:
        """The buffer holds no whole head."""
        buffer = self.client.buffer
        self._searched = len(buffer)
        self.state = HEAD if buffer.strip(b"\r\n") else IDLE

    def _act(self, head: RequestHead, verdict: Verdict) -> None:
        """Do with a request what the verdict on it says."""
        connection = self.connection
        self._plane.counters.request()
        self._to_head = head.method == b"HEAD"
        connection.judged(verdict)
        if not verdict.allowed and connection.enforcing:
            self._count_blocked(verdict)
            if verdict is self._plane.decider.malformed:
                self.refuse(400, "the Host is not a valid domain name")
            else:
                self._turn_away(head, verdict)
            return
        if head.minor == HTTP_0_9:
            self._act_on_simple(head, verdict)
        else:
            self.state = BUSY
            exchange = self.exchange
            if exchange is None:
                exchange = self.exchange = Exchange(self._http, self.client, self)
            try:
                exchange.begin(head, verdict, self._forwarded)
            except BadMessage as bad:
                self.malformed(bad)
                return
        if verdict.allowed:
            connection.passes(HTTP, verdict)
        else:
            connection.lets_through(HTTP, verdict)

    def _act_on_simple(self, head: RequestHead, verdict: Verdict) -> None:
        """To CLOSED where the gate only monitors: a tunnel goes on; else refuse."""
        connection = self.connection
        if connection.enforcing:
            self.refuse(505, "HTTP/0.9 is not forwarded; use HTTP/1.1")
            return
        router = self._plane.router
        try:
            pool: Pool = connection.host or router.only_http or router.http(verdict.name)
        except UpstreamError as error:
            self.refuse(502, str(error))
            return
        client = self.client
        behind = client.buffer
        client.unwatch()
        if self.exchange is not None:
            self.exchange.abandon()
        self.hand_over()
        relay(connection, pool, head, behind)

    def _count_blocked(self, verdict: Verdict) -> None:
        self.connection.blocks(HTTP, verdict)

    def settle(self) -> bool:
        """Account for what the buffer holds; False if that was too much, and the end.

        What came in one read with a request that is under way is taken even if there is no room.
        """
        if self.state is CLOSED:
            return False
        lenient = self.state is not HEAD and self.state is not IDLE
        if self.client.settle(lenient=lenient):
            return True
        self._count_blocked(self._plane.decider.limit)
        self.end(OVER_BUDGET, cut=True)
        return False

    # Answers of the gate's own.

    def malformed(self, bad: BadMessage) -> None:
        """Refuse a request as malformed, and count it so."""
        self._count_blocked(self._plane.decider.malformed)
        self.refuse(bad.status, bad.detail)

    def bad_body(self, bad: BadMessage) -> None:
        """Refuse what follows a head that was passed on; that is no second decision."""
        self._plane.counters.end("malformed_body")
        self.refuse(bad.status, bad.detail)

    def refuse(self, status: int, detail: str) -> None:
        """Answer with an error and close. The client has been sent no part of a response yet."""
        self._plane.counters.response(status)
        if self._send_last(self._http.answers.refusal(status, detail, to_head=self._to_head)):
            self._linger()

    def _turn_away(self, head: RequestHead, verdict: Verdict) -> None:
        """Send a visitor to the notice page, and close."""
        status, response = self._http.answers.blocked(verdict, head)
        self._plane.counters.response(status)
        if self._send_last(response):
            if head.framing is _NO_BODY and not self.client.buffer:
                self.end("answered")  # all that the client sent was read: closing loses nothing
            else:
                self._linger()

    def _send_last(self, response: bytes) -> bool:
        """Send a last response: True when it is out, else to FLUSH and then to LINGER."""
        client = self.client
        rest = client.send(response)
        if rest is None:
            return True
        client.hold(rest)
        self._flush_and(close=True)
        return False

    def _flush_and(self, *, close: bool) -> None:
        self.state = FLUSH
        self._closes = close
        self.client.wait(self._http.seconds[FLUSH])
        self.client.want(OUT)  # what the client sends meanwhile stays in the kernel

    def _linger(self) -> None:
        """End our side and discard what comes."""
        client = self.client
        try:
            client.shut()
        except OSError:
            self.reset()
            return
        self.state = LINGER
        self.settle()
        client.wait(self._http.seconds[LINGER])
        client.want(IN)

    # Between exchanges, and the end.

    def exchange_done(self, close: bool) -> None:
        """The response is complete and all of it was sent or is held."""
        client = self.client
        if client.held is not None:
            self._flush_and(close=close)
        elif not close:
            self._next_request()
        elif client.buffer or (self.exchange is not None and not self.exchange.whole):
            self._linger()
        else:
            self.end("closed")

    def _next_request(self) -> None:
        """Ready for the next request."""
        client = self.client
        self.state = IDLE
        if client.buffer:
            client.wait(self._http.seconds[HEAD])
            if not client.ended:
                client.want(IN)
            self._process()
        elif client.ended:
            self.end("closed")
        else:
            if client.charged:
                client.settle(lenient=True)
            client.wait(self._http.seconds[IDLE])
            if self._plane.draining:
                self.hurry()
            client.want(IN)

    def hurry(self) -> None:
        """In a drain, leave an idle connection time for a request that may be under way, at most.

        The last response may have gone without `Connection: close`; the next one says so.
        """
        if self.state is IDLE:
            self.client.wait_no_longer(DRAIN_IDLE_SECONDS)

    def hurry_now(self) -> None:
        """As `hurry`, and look at the deadline when it passes."""
        self.hurry()
        reactor = self._plane.reactor
        reactor.unschedule(self)
        reactor.schedule(self, self._next_check(reactor.now))

    def end_if_idle(self) -> None:
        """End a connection between two requests, as a drain does at its deadline."""
        if self.state is IDLE:
            self.end("drained")

    def hand_over(self) -> None:
        """A tunnel owns the connection from now on."""
        self.state = CLOSED
        self.exchange = None
        self.client.let_go()
        self._plane.reactor.unschedule(self)

    def abort(self, cause: str = "aborted") -> None:
        """End at once, with a reset."""
        self.end(cause, cut=True)

    def end(self, cause: str, *, cut: bool = False) -> None:
        """Close the client's connection and whatever the exchange holds."""
        if self.state is CLOSED:
            return
        self.state = CLOSED
        self.client.let_go()
        if self.exchange is not None:
            self.exchange.abandon()
            self.exchange = None  # the two point at each other: not left to the collector
        self._plane.reactor.unschedule(self)
        self.connection.end(cause, cut=cut)


_ACTIONS: Final = {
    state: {event: getattr(HttpConnection, action.value) for event, action in row.items()}
    for state, row in TABLE.items()
}
