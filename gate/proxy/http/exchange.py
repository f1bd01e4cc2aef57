"""One request and its response, between a client's connection and an upstream connection.

What goes to either side is what the gate serialised from its own parse. Heads, and bodies that
came together with them, pass through here; what is left of a body is relayed by a flow (see
relay.py): plain for a body of known length or one that ends with the connection, chunk by chunk
otherwise. The phases, and what a failure does in each, are in states.py.
"""

from __future__ import annotations

from select import EPOLLERR, EPOLLHUP
from socket import SocketType
from typing import Final

from gate.policy import Verdict
from gate.proxy import failure
from gate.proxy.chunk_flow import ChunkFlow
from gate.proxy.connection import Connection, reset
from gate.proxy.dial import Dial
from gate.proxy.flow import Flow
from gate.proxy.http.client import ClientSide
from gate.proxy.http.owner import ExchangeOwner
from gate.proxy.http.parts import first_of_request, first_of_response
from gate.proxy.http.plane import HttpPlane
from gate.proxy.http.relay import Down, Up, Upload, pump_down, pump_up, watch
from gate.proxy.http.states import REMEDIES, Fault, Phase, Remedy
from gate.proxy.http.switch import switch
from gate.proxy.http.upstream import OwnConnection, UpstreamConnection
from gate.proxy.proxy_header import header_for
from gate.proxy.reactor import IN, OUT
from gate.proxy.upstream import OriginEndpoint, Pool, UpstreamError
from gate.wire.http1 import (
    BadMessage,
    BadResponse,
    ForwardedClient,
    Framing,
    RequestHead,
    ResponseFault,
    ResponseHead,
    serialise_request,
    serialise_response,
)

_NONE: Final = Framing.NONE  # globals: see parts.py
_LENGTH: Final = Framing.LENGTH
_CONNECTING: Final = Phase.CONNECTING
_SENDING: Final = Phase.SENDING
_WAITING: Final = Phase.WAITING
_RESPONDING: Final = Phase.RESPONDING

_READ_BYTES = 1 << 16
# A 102 each second for longer than most response time-outs; who sends more is not at work.
_MOST_INTERIMS = 100
# RFC 9110 9.2.2: these may be sent again when a kept connection turns out to be dead.
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


class Exchange:
    """The exchange of one client's connection, used again for each of its requests."""

    __slots__ = ("_client", "_closes", "_data", "_dial", "_heard", "_http", "_interims", "_own",
                 "_owner", "_phase", "_plane", "_pool", "_upstream", "_usable", "down", "head",
                 "upload")  # fmt: skip

    def __init__(self, http: HttpPlane, client: ClientSide, owner: ExchangeOwner) -> None:
        self._http = http
        self._plane = http.plane
        self._client = client
        self._owner = owner
        self._upstream: UpstreamConnection | None = None
        self._own: OwnConnection | None = None  # where it shares none
        self._dial: Dial | None = None
        self.upload: Upload | None = None  # what is left of the request, if anything ever was
        self.down: Flow | ChunkFlow | None = None  # what is left of the response

    @property
    def connection(self) -> Connection:
        """The client's connection."""
        return self._owner.connection

    def begin(self, head: RequestHead, verdict: Verdict, forwarded: ForwardedClient) -> None:
        """Forward an allowed request; what the client sent after its head is in its buffer.

        `forwarded` tells the upstream who the client is. Raises BadMessage if the body is
        malformed already; nothing was sent then.
        """
        client, plane = self._client, self._plane
        self.head = head
        self._phase = _CONNECTING
        self._heard = b""  # bytes of a response head that is not complete yet
        self._interims = 0  # responses before the final one (RFC 9110 15.2)
        self._closes = not head.keep_alive or plane.draining
        self._usable = True  # whether the upstream connection can serve another request
        self.upload = None
        if head.framing is _NONE and head.host is not None and head.host.isascii():
            data = serialise_request(head, host=head.host, forwarded=forwarded)
        else:
            part = first_of_request(head, client.buffer, verdict, forwarded)
            data = part.data
            client.replace(part.ahead)
            if part.left or part.chunks is not None:
                if client.ended:
                    self._owner.end("truncated", cut=True)  # the rest can never come
                    return
                self.upload = Upload(part.left, part.chunks)
        self._data = data
        host = self.connection.host
        router = plane.router
        try:
            pool: Pool = host or router.only_http or router.http(verdict.name)
        except UpstreamError as error:
            self._owner.refuse(502, str(error))
            return
        self._pool = pool
        client.wait(self._http.seconds_busy[_CONNECTING])
        endpoint = pool.single or pool.pick(plane.reactor.now)
        if head.authenticates or (host is not None and host.alone):
            self.share_no_more()
        if self._own is not None:
            upstream = self._own.take(pool)
        else:
            upstream = None if pool.speaks_proxy else self._http.idle.take(endpoint, self)
        if upstream is None:
            self._connect(endpoint)
            return
        once = self.upload is not None or head.method not in _IDEMPOTENT
        sent = upstream.take(self, data, once)
        if sent < 0:
            self._connect(endpoint)  # it has been sent nothing
            return
        self._upstream = upstream
        plane.counters.up(len(data))
        if sent < len(data) or self.upload is not None:
            self._relay_rest(upstream, sent)
        else:
            self._phase = _WAITING

    @property
    def whole(self) -> bool:
        """Whether all of the request has come from the client."""
        return self.upload is None or self.upload.whole

    # The upstream connection.

    def _connect(self, endpoint: OriginEndpoint | None = None) -> None:
        """Dial a new upstream connection for what `begin` has made, `endpoint` first."""
        self._phase = _CONNECTING
        if not self.whole:
            self._client.want(0)  # what comes now belongs to the body, and nobody can take it yet
        pool = self._pool
        if pool.speaks_proxy:
            self._data = header_for(pool, self.connection) + self._data
        self._dial = Dial(self._plane, pool, self._data, self)
        self._dial.start(endpoint)

    def connected(self, sock: SocketType, endpoint: OriginEndpoint, sent: int) -> None:
        """A new upstream connection is there."""
        self._dial = None
        upstream = self._upstream = self._http.idle.new(sock, endpoint, self)
        self._plane.counters.up(len(self._data))
        if sent < len(self._data) or not self.whole:
            self._relay_rest(upstream, sent)
            return
        self._phase = _WAITING
        if self._client.buffer:
            self.watch()

    def unreachable(self, why: failure.Failure) -> None:
        """No endpoint could be reached."""
        self._dial = None
        if why is failure.EXHAUSTED:
            self._plane.counters.end(why.cause)
        self._fail(why)

    def _relay_rest(self, upstream: UpstreamConnection, sent: int) -> None:
        """The upstream has `sent` bytes of the request's first part: relay what is left."""
        self._phase = _SENDING
        client = self._client
        client.wait(self._http.seconds_busy[_SENDING])
        upload = self.upload
        if upload is None:
            upload = self.upload = Upload(0, None)
        rest = memoryview(self._data)[sent:]
        upload.start(client.sock, upstream.sock, self._plane.pipes, rest)
        self.watch()

    def on_upstream(self, events: int) -> None:
        """The upstream's socket is ready."""
        if self._upstream is None and self._own is not None:
            self._own.close()  # between two requests it can only have ended
            return
        if events & OUT:
            self.pump_up()
        upstream = self._upstream
        if events & ~OUT and upstream is not None:
            if upstream.events & IN:
                self._read_response(upstream)
            elif events & EPOLLERR:
                self.upstream_ended()
            elif events & EPOLLHUP:
                upstream.unwatch()  # it has ended; the rest is read when the client takes it

    def share_no_more(self) -> OwnConnection:
        """From now on this client has its upstream connection for itself."""
        if self._own is None:
            self._own = OwnConnection()
        return self._own

    def resume(self, sock: SocketType, endpoint: OriginEndpoint) -> None:
        """Go on between two requests with an upstream connection for this client alone."""
        self.share_no_more().keep(self._http.idle.new(sock, endpoint, self))

    def watch(self) -> None:
        """Watch both sides for what can be used now, after the client's buffer has changed, too."""
        watch(self._client, self._upstream, self.upload, self.down)

    # The rest of the request.

    @property
    def wants_body(self) -> bool:
        """Whether the client's bytes belong to the request's body."""
        return self.upload is not None and self.upload.flow is not None

    def pump_up(self) -> None:
        """The client sent more of the body, or has ended; or the upstream takes more."""
        upload, client = self.upload, self._client
        if upload is None or (flow := upload.flow) is None:
            return
        try:
            outcome = pump_up(self._plane, client.sock, upload, flow)
        except BadMessage as bad:
            if self._phase is _RESPONDING:
                self._owner.abort("malformed")
            else:
                self._drop_upstream()
                self._owner.bad_body(bad)
            return
        match outcome:
            case Up.MORE:
                client.wait(self._http.seconds_busy[_SENDING])
            case Up.WHOLE:
                if self._phase is _SENDING:
                    self._phase = _WAITING
                client.wait(self._http.seconds_busy[self._phase])
                if flow.rest:
                    client.replace(flow.rest)
                    if not self._owner.settle():
                        return
            case Up.TRUNCATED:
                self._owner.abort("truncated")
                return
            case Up.LEFT:
                self._owner.abort("peer_reset")
                return
            case Up.NOT_TAKEN:
                self._closes = True
                self._usable = False
                upload.close()
                self.watch()
                client.want_no(IN)
                return
        self.watch()

    # The response.

    def _read_response(self, upstream: UpstreamConnection) -> None:
        if self.down is not None:
            self._pump_down(self.down)
            return
        try:
            data = upstream.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.upstream_ended()
            return
        request = self.head
        searched = len(self._heard)
        if searched:
            data = self._heard + data
        while True:
            try:
                head = self._http.responses.parse(data, 0, request.method, searched)
            except BadResponse as bad:
                self._refuse_response(upstream, bad.kind)
                return
            if head is None:
                self._heard = data
                upstream.lives()
                return
            status, end = head.status, head.consumed
            self._plane.counters.response(status)
            if head.authenticates:
                self.share_no_more()
            if status >= 200:
                if (
                    len(data) - end == head.length
                    and head.framing is _LENGTH
                    and len(data) < _READ_BYTES
                    and (head.keep_alive and not self._closes)  # both connections go on
                    and (request.minor == 1 and self.upload is None)
                ):
                    self._answer(serialise_response(head, close=False) + data[end:])
                else:
                    self._respond(upstream, head, data[end:])
                return
            if status == 101:
                self._switch(upstream, head, data[end:])
                return
            upstream.lives()
            self._interims += 1
            if self._interims > _MOST_INTERIMS:
                self._refuse_response(upstream, ResponseFault.endless_interims)
                return
            client = self._client
            if request.minor and client.held is None:
                unsent = client.send(serialise_response(head, close=False))
                if unsent is not None:
                    client.hold(unsent)
                    client.want_also(OUT)
            self._heard = b""
            if end == len(data):
                return
            data = data[end:]
            searched = 0

    def _answer(self, response: bytes) -> None:
        """Send a whole response, and be done."""
        client = self._client
        unsent = client.send(response)
        if unsent is not None:
            client.hold(unsent)
        self._complete()

    def _respond(self, upstream: UpstreamConnection, head: ResponseHead, rest: bytes) -> None:
        """Send the head of the final response and what came of its body."""
        client, minor = self._client, self.head.minor
        try:
            part = first_of_response(head, rest, minor, close=self._closes, whole=self.whole)
        except BadResponse as bad:
            self._refuse_response(upstream, bad.kind)
            return
        self._phase = _RESPONDING
        self._closes = part.close
        self._usable = self._usable and part.usable
        if part.left == 0 and part.chunks is None:
            if self._usable and head.consumed + len(rest) >= _READ_BYTES and upstream.stale():
                self._usable = False  # a read that was full may have left some behind
            self._answer(part.data)
            return
        unsent = client.send(part.data)
        if part.chunks is not None:
            self.down = ChunkFlow(upstream.sock, client.sock, part.chunks)
        else:
            self.down = Flow(upstream.sock, client.sock, self._plane.pipes, part.left)
        client.wait(self._http.seconds_busy[_RESPONDING])
        if unsent is not None:
            self.down.hold(client.take_held(unsent))
            self.watch()

    def _pump_down(self, flow: Flow | ChunkFlow) -> None:
        try:
            outcome = pump_down(self._plane, flow)
        except BadResponse as bad:
            if self._upstream is not None:
                self._upstream.endpoint.answered_badly(bad.kind, self._plane.reactor.now)
            outcome = Down.BROKEN
        if outcome is Down.BROKEN:
            self._owner.abort("broken_response")
            return
        self._client.wait(self._http.seconds_busy[_RESPONDING])
        if outcome is Down.WHOLE:
            self.down = None
            upstream = self._upstream
            if flow.rest or (self._usable and upstream is not None and upstream.stale()):
                self._usable = False  # what it sent beyond this response answers no request
            self._complete()
        elif outcome is Down.CUT:
            self.down = None
            self._drop_upstream()
            # A client that gets no chunks would take an end in order for that of the body.
            unframed = isinstance(flow, ChunkFlow) and self.head.minor < 1
            self._owner.end("broken_response", cut=unframed)
        elif outcome is Down.TURNED:
            self.watch()

    def client_writable(self) -> None:
        """The client takes more of the response."""
        if self.down is not None:
            self._pump_down(self.down)
        else:
            self.watch()

    def _complete(self) -> None:
        """The response is with the client, or held for it."""
        upstream, self._upstream = self._upstream, None
        upload = self.upload
        if upload is not None and upload.flow is not None:
            upload.close()
            self._usable = False
        if upstream is not None:
            if self._usable and self._own is not None:
                self._own.keep(upstream)
            elif self._usable and not self._pool.speaks_proxy:  # that speaks for this client only
                upstream.release()
            else:
                upstream.close()
        self._owner.exchange_done(self._closes)

    def _switch(self, upstream: UpstreamConnection, head: ResponseHead, rest: bytes) -> None:
        """The upstream switches protocols: from here on the two sides talk unread."""
        if not head.upgrade or head.upgrade != self.head.upgrade:
            self._refuse_response(upstream, ResponseFault.bad_switch)
            return
        self._upstream = None
        switch(self._owner, self._client, self.upload, upstream.sock, head, rest)

    # Failure.

    def _refuse_response(self, upstream: UpstreamConnection, kind: ResponseFault) -> None:
        """What the upstream sent cannot be passed on; nothing of it is shown to the client."""
        upstream.endpoint.answered_badly(kind, self._plane.reactor.now)
        self._drop_upstream()
        self._owner.refuse(502, f"the origin's response was refused: {kind}")

    def upstream_ended(self) -> None:
        """The upstream connection ended or broke while it was in use, or had before it was."""
        upstream, upload = self._upstream, self.upload
        self._drop_upstream()
        if upload is not None:
            upload.close()
        remedy = REMEDIES[self._phase][Fault.UPSTREAM_ENDED]
        if remedy is Remedy.CUT:
            self._owner.abort("broken_response")
            return
        reused = upstream is not None and upstream.reused
        why = failure.KEPT_ENDED if reused else failure.BROKE_OFF
        if remedy is Remedy.RETRY and why.retry:
            if self.head.method in _IDEMPOTENT and (upload is None or upload.ahead):
                self.upload = None  # what it held is a part of what is sent again
                self._connect()  # the kept connection was dead: ask again on a new one
                return
            if upstream is not None:
                # A request may have met the end of a kept connection, which must not be asked
                # again (RFC 9110 9.2.2): it has failed, though the endpoint may be well.
                upstream.endpoint.failed_once()
        elif upstream is not None:
            self._rest(upstream)
        self._fail(why)

    def timed_out(self) -> None:
        """The phase has lasted too long."""
        upstream, upload = self._upstream, self.upload
        remedy = REMEDIES[self._phase][Fault.DEADLINE]
        if remedy is Remedy.CUT:
            self._owner.abort("timeout")
            return
        why = failure.NO_RESPONSE
        if remedy is Remedy.BLAME and upload is not None and upload.starved:
            why = failure.BODY_TIMEOUT
        if why.source is failure.FailureSource.UPSTREAM and upstream is not None:
            self._rest(upstream)
        self.abandon()
        self._fail(why)

    def _fail(self, why: failure.Failure) -> None:
        """There will be no response from an upstream."""
        self._owner.refuse(why.status, why.detail)

    def _rest(self, upstream: UpstreamConnection) -> None:
        """The endpoint failed before it answered: it rests."""
        rest_seconds = self._plane.settings.upstreams.rest_seconds
        upstream.endpoint.failed(self._plane.reactor.now, rest_seconds)

    def abort(self, cause: str = "aborted") -> None:
        """End both sides at once."""
        self._owner.abort(cause)

    def abandon(self) -> None:
        """Let go of everything; the client's connection ends by itself."""
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        self._drop_upstream()
        if self._own is not None:
            self._own.close()
        if self.upload is not None:
            self.upload.close()
        if self.down is not None:
            self.down.close()
            self.down = None

    def _drop_upstream(self) -> None:
        """Cut the upstream connection, so that half a request is never taken for a whole one."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            reset(upstream.sock)
            upstream.close()
