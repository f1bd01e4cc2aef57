"""One request and its response, between a client connection and an upstream connection.

What goes to either side is what the gate serialised from its own parse. Heads, and bodies that
came together with them, pass through here; what is left of a body is relayed by a flow (see
http_relay.py): plain for a body of known length or one that ends with the connection, chunk by
chunk otherwise.
"""

from __future__ import annotations

from select import EPOLLERR, EPOLLHUP
from typing import TYPE_CHECKING, Final

from gate.policy import Verdict
from gate.proxy.chunk_flow import ChunkFlow
from gate.proxy.dial import Dial, Miss
from gate.proxy.flow import Flow
from gate.proxy.http_parts import first_of_request, first_of_response
from gate.proxy.http_relay import pump_down, pump_up, switch, watch
from gate.proxy.http_upload import Upload
from gate.proxy.http_upstream import UpstreamConnection
from gate.proxy.plane import reset
from gate.proxy.reactor import IN, OUT
from gate.proxy.upstream import Endpoint, Pool, UpstreamError
from gate.wire.http1 import (
    BadMessage,
    Framing,
    RequestHead,
    ResponseHead,
    serialise_request,
    serialise_response,
)

if TYPE_CHECKING:
    from socket import SocketType

    from gate.proxy.http import HttpConnection

_NONE: Final = Framing.NONE  # globals: see http_parts.py
_LENGTH: Final = Framing.LENGTH

_READ_BYTES = 1 << 16
# A 102 each second for longer than most response time-outs; who sends more is not at work.
_MOST_INTERIMS = 100
# RFC 9110 9.2.2: these may be sent again when a kept connection turns out to be dead.
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


class Exchange:
    """The exchange of one client connection, used again for each of its requests."""

    __slots__ = ("_data", "_dial", "_heard", "_interims", "_pool", "client", "closes", "down",
                 "head", "responding", "upload", "upstream", "usable")  # fmt: skip

    def __init__(self, client: HttpConnection) -> None:
        self.client = client
        self.upstream: UpstreamConnection | None = None
        self._dial: Dial | None = None
        self.upload: Upload | None = None  # what is left of the request, if anything ever was
        self.down: Flow | ChunkFlow | None = None  # what is left of the response

    @property
    def connection(self) -> str:
        """The name of the client's connection in the log."""
        return self.client.connection

    def begin(self, head: RequestHead, verdict: Verdict) -> None:
        """Forward an allowed request; what the client sent after its head is in its buffer."""
        client = self.client
        plane = client.plane
        self.head = head
        self._heard = b""  # bytes of a response head that is not complete yet
        self._interims = 0  # responses before the final one (RFC 9110 15.2)
        self.responding = False  # whether the client has been sent a final response's head
        self.closes = not head.keep_alive or plane.draining
        self.usable = True  # whether the upstream connection can serve another request
        self.upload = None
        if head.framing is _NONE and head.host is not None and head.host.isascii():
            data = serialise_request(head, host=head.host, forwarded=client.forwarded)
        else:
            try:
                part = first_of_request(head, client.buffer, verdict, client.forwarded)
            except BadMessage as bad:
                client.malformed(bad.status, bad.detail)
                return
            data = part.data
            client.buffer = part.ahead
            if part.left or part.chunks is not None:
                if client.eof:
                    client.end("truncated", cut=True)  # the rest can never come
                    return
                self.upload = Upload(part.left, part.chunks)
        self._data = data
        router = plane.router
        pool = router.only_http
        if pool is None:
            try:
                pool = router.http(verdict.name)
            except UpstreamError as error:
                client.refuse(502, str(error))
                return
        self._pool = pool
        now = plane.reactor.now
        client.deadline = now + plane.response_timeout
        endpoint = pool.single or pool.pick(now)
        if not endpoint.idle or pool.speaks_proxy:
            self._connect(pool)
            return
        upstream = endpoint.idle.pop()
        once = self.upload is not None or head.method not in _IDEMPOTENT
        sent = upstream.take(self, data, once)
        if sent < 0:
            self._connect(pool)  # it has been sent nothing
            return
        self.upstream = upstream
        plane.bytes_up += len(data)
        if sent < len(data) or self.upload is not None:
            self._relay_rest(upstream, sent)

    @property
    def whole(self) -> bool:
        """Whether all of the request has come from the client."""
        return self.upload is None or self.upload.whole

    @property
    def unread_body(self) -> bool:
        """Whether the client may still be sending a body that nobody reads."""
        return not self.whole

    # The upstream connection.

    def _connect(self, pool: Pool) -> None:
        """Dial a new upstream connection for what `begin` has made."""
        client = self.client
        if not self.whole:
            client.want(0)  # what comes now belongs to the body, and nobody can take it yet
        data = client.proxy_header(pool) + self._data
        self._dial = Dial(client.plane, pool, data, self)
        self._dial.start()

    def connected(self, sock: SocketType, endpoint: Endpoint, sent: int) -> None:
        """A new upstream connection is there."""
        self._dial = None
        client = self.client
        upstream = self.upstream = UpstreamConnection(client.plane, sock, endpoint, self)
        if self._pool.speaks_proxy:
            self.usable = False  # it speaks for this client only
            self._data = client.proxy_header(self._pool) + self._data
        client.plane.bytes_up += len(self._data)
        if sent < len(self._data) or not self.whole:
            self._relay_rest(upstream, sent)
        elif client.buffer:
            watch(self)

    def unreachable(self, why: Miss) -> None:
        """No endpoint could be reached."""
        self._dial = None
        if why is Miss.EXHAUSTED:
            self.client.plane.ends["dial_exhausted"] += 1
            self.client.refuse(503, "the gate has no connection to the origin to spare")
        else:
            self._fail(timed_out=why is Miss.TIMED_OUT)

    def _relay_rest(self, upstream: UpstreamConnection, sent: int) -> None:
        """The upstream has `sent` bytes of the request's first part: relay what is left."""
        client = self.client
        plane = client.plane
        client.deadline = plane.reactor.now + plane.settings.limits.body_idle_seconds
        upload = self.upload
        if upload is None:
            upload = self.upload = Upload(0, None)
        upload.start(client.sock, upstream.sock, plane.pipes, memoryview(self._data)[sent:])
        watch(self)

    def on_upstream(self, events: int) -> None:
        """The upstream's socket is ready."""
        if events & OUT and self.upload is not None:
            pump_up(self, self.upload)
        upstream = self.upstream
        if events & ~OUT and upstream is not None:
            if upstream.events & IN:
                self._read_response(upstream)
            elif events & EPOLLERR:
                self._upstream_broke()
            elif events & EPOLLHUP:
                upstream.unwatch()  # it has ended; the rest is read when the client takes it

    # The rest of the request.

    @property
    def wants_body(self) -> bool:
        """Whether the client's bytes belong to the request's body."""
        return self.upload is not None and self.upload.flow is not None

    def client_readable(self) -> None:
        """The client sent more of the body, or has ended."""
        if self.upload is not None:
            pump_up(self, self.upload)

    # The response.

    def _read_response(self, upstream: UpstreamConnection) -> None:
        if self.down is not None:
            pump_down(self, self.down)
            return
        try:
            data = upstream.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._upstream_broke()
            return
        if not data:
            self._upstream_broke()
            return
        client, request = self.client, self.head
        plane = client.plane
        searched = len(self._heard)
        if searched:
            data = self._heard + data
        while True:
            try:
                head = plane.responses_parser.parse(data, 0, request.method, searched)
            except BadMessage as bad:
                self.drop_upstream()
                client.refuse(502, f"the origin's response was refused: {bad.detail}")
                return
            if head is None:
                self._heard = data
                upstream.reused = False  # it lives: if it breaks now, that is a failure
                return
            status, end = head.status, head.consumed
            plane.responses[status // 100] += 1
            if status >= 200:
                if (
                    len(data) - end == head.length
                    and head.framing is _LENGTH
                    and len(data) < _READ_BYTES
                    and self._plain(head)
                ):
                    self._answer(serialise_response(head, close=False) + data[end:])
                else:
                    self._respond(upstream, head, data[end:])
                return
            if status == 101:
                switch(self, upstream, head, data[end:])
                return
            upstream.reused = False
            self._interims += 1
            if self._interims > _MOST_INTERIMS:
                self.drop_upstream()
                client.refuse(502, "the origin sent interim responses without end")
                return
            if request.minor and client.held is None:
                client.send_or_hold(serialise_response(head, close=False))
            self._heard = b""
            if end == len(data):
                return
            data = data[end:]
            searched = 0

    def _plain(self, head: ResponseHead) -> bool:
        """Whether both connections go on after a response that has come whole."""
        return head.keep_alive and not self.closes and self.head.minor == 1 and self.upload is None

    def _answer(self, response: bytes) -> None:
        """Send a whole response, and be done."""
        client = self.client
        unsent = client.send(response)
        if unsent is not None:
            client.held = client.take_held(unsent)
        self.complete()

    def _respond(self, upstream: UpstreamConnection, head: ResponseHead, rest: bytes) -> None:
        """Send the head of the final response and what came of its body."""
        client, request = self.client, self.head
        plane = client.plane
        try:
            part = first_of_response(head, rest, request.minor, close=self.closes, whole=self.whole)
        except BadMessage as bad:
            self.drop_upstream()
            client.refuse(502, f"the origin's response was refused: {bad.detail}")
            return
        self.responding = True
        self.closes = part.close
        self.usable = self.usable and part.usable
        if part.left == 0 and part.chunks is None:
            if self.usable and head.consumed + len(rest) >= _READ_BYTES and upstream.stale():
                self.usable = False  # a read that was full may have left some behind
            self._answer(part.data)
            return
        unsent = client.send(part.data)
        if part.chunks is not None:
            self.down = ChunkFlow(upstream.sock, client.sock, part.chunks)
        else:
            self.down = Flow(upstream.sock, client.sock, plane.pipes, part.left)
        client.deadline = plane.reactor.now + plane.settings.limits.body_idle_seconds
        if unsent is not None:
            self.down.hold(client.take_held(unsent))
            watch(self)

    def client_writable(self) -> None:
        """The client takes more of the response."""
        if self.down is not None:
            pump_down(self, self.down)
        else:
            watch(self)

    def complete(self) -> None:
        """The response is with the client, or held for it."""
        upstream, self.upstream = self.upstream, None
        upload = self.upload
        if upload is not None and upload.flow is not None:
            upload.close()
            self.usable = False
        if upstream is not None:
            if self.usable:
                upstream.release()
            else:
                upstream.close()
        self.client.exchange_done(self.closes)

    # Failure.

    def _upstream_broke(self) -> None:
        """The upstream connection ended or broke while it was in use."""
        client, upstream, upload = self.client, self.upstream, self.upload
        self.drop_upstream()
        if upload is not None:
            upload.close()
        if self.responding:
            client.abort("broken_response")
            return
        if upstream is not None:
            if not upstream.reused:
                self._blame(upstream)
            elif self.head.method in _IDEMPOTENT and (upload is None or upload.ahead):
                self.upload = None  # what it held is a part of what is sent again
                self._connect(self._pool)  # the kept connection was dead: ask again on a new one
                return
            else:
                # A request may have met the end of a kept connection, which must not be asked
                # again (RFC 9110 9.2.2): it has failed, though the endpoint may be well.
                upstream.endpoint.failures += 1
        self._fail(timed_out=False)

    def upstream_stale(self) -> None:
        """The kept connection had ended, or was out of step, before the request was sent."""
        self._upstream_broke()

    def _blame(self, upstream: UpstreamConnection) -> None:
        """The endpoint failed before it answered: it rests."""
        plane = self.client.plane
        upstream.endpoint.failed(plane.reactor.now, plane.settings.upstreams.rest_seconds)

    def _fail(self, timed_out: bool) -> None:
        """There will be no response from an upstream."""
        if timed_out:
            self.client.refuse(504, "the origin did not answer in time")
        else:
            self.client.refuse(502, "the origin could not be reached or broke off")

    def timed_out(self) -> None:
        """The deadline of this exchange has passed."""
        client, upstream, upload = self.client, self.upstream, self.upload
        if self.responding:
            client.abort("timeout")
        elif upload is not None and upload.starved:
            self.abandon()
            client.refuse(408, "the request's body was not complete in time")
        else:
            if upstream is not None:
                self._blame(upstream)
            self.abandon()
            self._fail(timed_out=True)

    def abort(self) -> None:
        """End both sides at once."""
        self.client.abort()

    def abandon(self) -> None:
        """Let go of everything; the client's connection ends by itself."""
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        self.drop_upstream()
        if self.upload is not None:
            self.upload.close()
        if self.down is not None:
            self.down.close()
            self.down = None

    def drop_upstream(self) -> None:
        """Cut the upstream connection, so that half a request is never taken for a whole one."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            reset(upstream.sock)
            upstream.close()
