"""One request and its response, between a client connection and an upstream connection.

What goes to either side is what the gate serialised from its own parse. Heads, and bodies that
came together with them, pass through here; what is left of a body is relayed by a flow: plain
for a body of known length or one that ends with the connection, chunk by chunk otherwise.
"""

from __future__ import annotations

from select import EPOLLERR
from typing import TYPE_CHECKING, Final

from gate.policy import Verdict
from gate.proxy.chunk_flow import ChunkFlow
from gate.proxy.dial import Dial, Miss
from gate.proxy.flow import Flow, Progress
from gate.proxy.http_parts import first_of_request, first_of_response
from gate.proxy.http_upload import Upload, has_left
from gate.proxy.http_upstream import UpstreamConnection
from gate.proxy.plane import reset
from gate.proxy.reactor import IN, OUT
from gate.proxy.tunnel import Tunnel
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

_ENDED: Final = Progress.ENDED  # globals: see http_parts.py
_BLOCKED: Final = Progress.BLOCKED
_NONE: Final = Framing.NONE
_LENGTH: Final = Framing.LENGTH

_READ_BYTES = 1 << 16
# What a client may send ahead of the response to its request before it is made to wait.
_AHEAD_BYTES = 1 << 16
# RFC 9110 9.2.2: these may be sent again when a kept connection turns out to be dead.
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


class Exchange:
    """The exchange of one client connection, used again for each of its requests."""

    __slots__ = ("_client", "_close", "_data", "_dial", "_down", "_head", "_heard", "_pool",
                 "_responding", "_upload", "_upstream", "_usable")  # fmt: skip

    def __init__(self, client: HttpConnection) -> None:
        self._client = client
        self._upstream: UpstreamConnection | None = None
        self._dial: Dial | None = None
        self._upload: Upload | None = None  # what is left of the request, if anything ever was
        self._down: Flow | ChunkFlow | None = None  # what is left of the response

    @property
    def connection(self) -> str:
        """The name of the client's connection in the log."""
        return self._client.connection

    def begin(self, head: RequestHead, verdict: Verdict) -> None:
        """Forward an allowed request; what the client sent after its head is in its buffer."""
        client = self._client
        plane = client.plane
        self._head = head
        self._heard = b""  # bytes of a response head that is not complete yet
        self._responding = False  # whether the client has been sent a final response's head
        self._close = not head.keep_alive or plane.draining
        self._usable = True  # whether the upstream connection can serve another request
        self._upload = None
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
                self._upload = Upload(part.left, part.chunks)
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
        once = self._upload is not None or head.method not in _IDEMPOTENT
        sent = upstream.take(self, data, once)
        if sent < 0:
            self._connect(pool)  # it has been sent nothing
            return
        self._upstream = upstream
        plane.bytes_up += len(data)
        if sent < len(data) or self._upload is not None:
            self._relay_rest(upstream, sent)

    @property
    def _whole(self) -> bool:
        """Whether all of the request has come from the client."""
        return self._upload is None or self._upload.whole

    @property
    def unread_body(self) -> bool:
        """Whether the client may still be sending a body that nobody reads."""
        return not self._whole

    # The upstream connection.

    def _connect(self, pool: Pool) -> None:
        """Dial a new upstream connection for what `begin` has made."""
        client = self._client
        if not self._whole:
            client.want(0)  # what comes now belongs to the body, and nobody can take it yet
        data = client.proxy_header(pool) + self._data
        self._dial = Dial(client.plane, pool, data, self)
        self._dial.start()

    def connected(self, sock: SocketType, endpoint: Endpoint, sent: int) -> None:
        """A new upstream connection is there."""
        self._dial = None
        client = self._client
        upstream = self._upstream = UpstreamConnection(client.plane, sock, endpoint, self)
        if self._pool.speaks_proxy:
            self._usable = False  # it speaks for this client only
            self._data = client.proxy_header(self._pool) + self._data
        client.plane.bytes_up += len(self._data)
        if sent < len(self._data) or not self._whole:
            self._relay_rest(upstream, sent)
        elif client.buffer:
            self.watch()

    def unreachable(self, why: Miss) -> None:
        """No endpoint could be reached."""
        self._dial = None
        if why is Miss.EXHAUSTED:
            self._client.plane.ends["dial_exhausted"] += 1
            self._client.refuse(503, "the gate has no connection to the origin to spare")
        else:
            self._fail(timed_out=why is Miss.TIMED_OUT)

    def _relay_rest(self, upstream: UpstreamConnection, sent: int) -> None:
        """The upstream has `sent` bytes of the request's first part: relay what is left."""
        client = self._client
        plane = client.plane
        client.deadline = plane.reactor.now + plane.settings.limits.body_idle_seconds
        upload = self._upload
        if upload is None:
            upload = self._upload = Upload(0, None)
        upload.start(client.sock, upstream.sock, plane.pipes, memoryview(self._data)[sent:])
        self.watch()

    def on_upstream(self, events: int) -> None:
        """The upstream's socket is ready."""
        if events & OUT and self._upload is not None:
            self._pump_up(self._upload)
        upstream = self._upstream
        if events & ~OUT and upstream is not None:
            if upstream.events & IN:
                self._read_response(upstream)
            elif events & EPOLLERR:
                self._upstream_broke()
            else:
                upstream.unwatch()  # it has ended; the rest is read when the client takes it

    def watch(self) -> None:
        """Watch both sockets for what can be used now."""
        client, upstream, down = self._client, self._upstream, self._down
        if upstream is None:
            if len(client.buffer) >= _AHEAD_BYTES:
                client.want(max(client.events, 0) & ~IN)  # until there is an upstream
            return
        up = None if self._upload is None else self._upload.flow
        wanted = 0
        if not client.eof:
            room = len(client.buffer) < _AHEAD_BYTES if up is None else not up.blocked
            wanted = IN if room else 0
        if client.held is not None or (down is not None and down.blocked):
            client.want(wanted | OUT)
            wanted = 0
        else:
            client.want(wanted)
            wanted = IN
        upstream.want(wanted | (OUT if up is not None and up.blocked else 0))

    # The rest of the request.

    @property
    def wants_body(self) -> bool:
        """Whether the client's bytes belong to the request's body."""
        return self._upload is not None and self._upload.flow is not None

    def client_readable(self) -> None:
        """The client sent more of the body, or has ended."""
        if self._upload is not None:
            self._pump_up(self._upload)

    def _pump_up(self, upload: Upload) -> None:
        flow, client = upload.flow, self._client
        if flow is None:
            return
        plane = client.plane
        before = flow.moved
        try:
            progress = flow.pump(plane.buffer)
        except BadMessage as bad:
            if self._responding:
                client.abort("malformed")
            else:
                self._drop_upstream()
                client.malformed(bad.status, bad.detail)
            return
        except OSError:
            # The upstream takes no more, but may have answered already: its response counts.
            if has_left(client.sock):
                client.abort("peer_reset")
                return
            self._close = True
            self._usable = False
            upload.close()
            self.watch()
            client.want(max(client.events, 0) & ~IN)
            return
        plane.bytes_up += flow.moved - before
        client.deadline = plane.reactor.now + plane.settings.limits.body_idle_seconds
        if progress is _ENDED:
            upload.close()
            if not flow.complete:
                client.abort("truncated")
                return
            if flow.rest:
                client.buffer = flow.rest
                if not client.settle():
                    return
            upload.whole = True
            client.deadline = plane.reactor.now + plane.response_timeout
        self.watch()

    # The response.

    def _read_response(self, upstream: UpstreamConnection) -> None:
        if self._down is not None:
            self._pump_down(self._down)
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
        client, request = self._client, self._head
        plane = client.plane
        if self._heard:
            data = self._heard + data
        while True:
            try:
                head = plane.responses_parser.parse(data, 0, request.method)
            except BadMessage as bad:
                self._drop_upstream()
                client.refuse(502, f"the origin's response was refused: {bad.detail}")
                return
            if head is None:
                self._heard = data
                upstream.reused = False  # it lives: if it breaks now, that is a failure
                return
            status, end = head.status, head.consumed
            plane.responses[status // 100] += 1
            if status >= 200:
                if len(data) - end == head.length and head.framing is _LENGTH and self._plain(head):
                    self._answer(serialise_response(head, close=False) + data[end:])
                else:
                    self._respond(upstream, head, data[end:])
                return
            if status == 101:
                self._upgrade(upstream, head, data[end:])
                return
            upstream.reused = False
            if request.minor and client.held is None:
                client.send_or_hold(serialise_response(head, close=False))
            self._heard = b""
            if end == len(data):
                return
            data = data[end:]

    def _plain(self, head: ResponseHead) -> bool:
        """Whether both connections go on after a response that has come whole."""
        return (
            head.keep_alive and not self._close and self._head.minor == 1 and self._upload is None
        )

    def _answer(self, response: bytes) -> None:
        """Send a whole response, and be done."""
        client = self._client
        unsent = client.send(response)
        if unsent is not None:
            client.held = client.take_held(unsent)
        self._complete()

    def _respond(self, upstream: UpstreamConnection, head: ResponseHead, rest: bytes) -> None:
        """Send the head of the final response and what came of its body."""
        client, request = self._client, self._head
        plane = client.plane
        try:
            part = first_of_response(
                head, rest, request.minor, close=self._close, whole=self._whole
            )
        except BadMessage as bad:
            self._drop_upstream()
            client.refuse(502, f"the origin's response was refused: {bad.detail}")
            return
        self._responding = True
        self._close = part.close
        self._usable = self._usable and part.usable
        if part.left == 0 and part.chunks is None:
            self._answer(part.data)
            return
        unsent = client.send(part.data)
        if part.chunks is not None:
            self._down = ChunkFlow(upstream.sock, client.sock, part.chunks)
        else:
            self._down = Flow(upstream.sock, client.sock, plane.pipes, part.left)
        client.deadline = plane.reactor.now + plane.settings.limits.body_idle_seconds
        if unsent is not None:
            self._down.hold(client.take_held(unsent))
            self.watch()

    def client_writable(self) -> None:
        """The client takes more of the response."""
        if self._down is not None:
            self._pump_down(self._down)
        else:
            self.watch()

    def _pump_down(self, flow: Flow | ChunkFlow) -> None:
        client = self._client
        plane = client.plane
        before = flow.moved
        was_blocked = flow.blocked
        try:
            progress = flow.pump(plane.buffer)
        except (OSError, BadMessage):
            client.abort("broken_response")
            return
        plane.bytes_down += flow.moved - before
        client.deadline = plane.reactor.now + plane.settings.limits.body_idle_seconds
        if progress is _ENDED:
            self._down = None
            flow.close()
            if not flow.complete:
                self._drop_upstream()
                client.end("broken_response")
                return
            if flow.rest:
                self._usable = False
            self._complete()
        elif progress is _BLOCKED or was_blocked:
            self.watch()

    def _complete(self) -> None:
        """The response is with the client, or held for it."""
        upstream, self._upstream = self._upstream, None
        upload = self._upload
        if upload is not None and upload.flow is not None:
            upload.close()
            self._usable = False
        if upstream is not None:
            if self._usable:
                upstream.release()
            else:
                upstream.close()
        self._client.exchange_done(self._close)

    def _upgrade(self, upstream: UpstreamConnection, head: ResponseHead, rest: bytes) -> None:
        """The upstream switches protocols: from here on the two sides talk unread.

        Only a request without a body asks for that, so it is the rest of its head, at most, that
        the upstream has yet to take, and still gets first (RFC 9110 7.8).
        """
        client, upload = self._client, self._upload
        if not head.upgrade or head.upgrade != self._head.upgrade:
            self._drop_upstream()
            client.refuse(502, "the origin switched to a protocol that was not asked for")
            return
        up = client.buffer
        if upload is not None and isinstance(upload.flow, Flow):
            up = bytes(upload.flow.held) + up
        self._upstream = None
        unsent = client.send(serialise_response(head, close=False))
        down = bytes(client.take_held(unsent)) if unsent is not None or client.held else b""
        verdict = client.verdict
        if verdict is None:
            return
        tunnel = Tunnel(
            client.plane, client.listener, client.sock, client.peer, client.number, verdict
        )
        client.hand_over()
        tunnel.adopt(upstream.sock, up, down + rest)

    # Failure.

    def _upstream_broke(self) -> None:
        """The upstream connection ended or broke while it was in use."""
        client, upstream, upload = self._client, self._upstream, self._upload
        self._drop_upstream()
        if upload is not None:
            upload.close()
        if self._responding:
            client.abort("broken_response")
            return
        if upstream is not None:
            if not upstream.reused:
                self._blame(upstream)
            elif self._head.method in _IDEMPOTENT and (upload is None or upload.ahead):
                self._upload = None  # what it held is a part of what is sent again
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
        plane = self._client.plane
        upstream.endpoint.failed(plane.reactor.now, plane.settings.upstreams.rest_seconds)

    def _fail(self, timed_out: bool) -> None:
        """There will be no response from an upstream."""
        if timed_out:
            self._client.refuse(504, "the origin did not answer in time")
        else:
            self._client.refuse(502, "the origin could not be reached or broke off")

    def timed_out(self) -> None:
        """The deadline of this exchange has passed."""
        client, upstream, upload = self._client, self._upstream, self._upload
        if self._responding:
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
        self._client.abort()

    def abandon(self) -> None:
        """Let go of everything; the client's connection ends by itself."""
        if self._dial is not None:
            self._dial.abort()
            self._dial = None
        self._drop_upstream()
        if self._upload is not None:
            self._upload.close()
        if self._down is not None:
            self._down.close()
            self._down = None

    def _drop_upstream(self) -> None:
        """Cut the upstream connection, so that half a request is never taken for a whole one."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            reset(upstream.sock)
            upstream.close()
