"""A tunnel: bytes relayed both ways between a client and an upstream, unread.

TLS pass-through dials its upstream here; an upgraded HTTP connection brings its own. Half-close
is passed on in both directions; a reset on one side becomes a reset on the other.

Both sockets are watched edge-triggered, so that a tunnel that never fills a socket buffer costs
two calls of epoll_ctl in its life. What this asks for in return: read until a source is empty,
and after a wait for the sink, too.
"""

from __future__ import annotations

from socket import MSG_PEEK, SocketType
from typing import Final

from gate.policy import Verdict
from gate.proxy.connection import Connection, reset
from gate.proxy.counters import TLS
from gate.proxy.dial import Dial
from gate.proxy.failure import Failure
from gate.proxy.flow import Flow, Progress
from gate.proxy.reactor import EDGE, ERR, IN, OUT, PRI, RDHUP
from gate.proxy.second_hello import HelloFlow, HelloRefused
from gate.proxy.upstream import OriginEndpoint, Pool
from gate.wire.hello_retry import asks_again

_MORE: Final = Progress.MORE  # globals: see http/parts.py
_STARVED: Final = Progress.STARVED
_ENDED: Final = Progress.ENDED

_READING: Final = IN | PRI | RDHUP | EDGE
_BOTH: Final = _READING | OUT
_HEARD: Final = IN | PRI | RDHUP
# There is an end, or urgent data (at which a read stops), behind what a short read brings.
_BEHIND: Final = PRI | RDHUP
# How often one readiness may move bytes before other connections have their turn.
_TURNS = 16
_LONGEST_ANSWER = 1 << 10  # of an upstream that has said nothing by then but warnings


class Tunnel:
    """One client connection and one upstream connection, both owned by the tunnel.

    The client's connection has been admitted and judged; the tunnel ends it when it ends.
    """

    __slots__ = (
        "_answer",
        "_behind",
        "_charged",
        "_client",
        "_dial",
        "_down",
        "_early",
        "_endpoint",
        "_first",
        "_plane",
        "_touched",
        "_unanswered",
        "_up",
        "bucket",
        "connection",
    )

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._plane = plane = connection.plane
        self._client: SocketType | None = connection.sock
        self._up: Flow | None = None  # client to upstream
        self._down: Flow | None = None  # upstream to client
        self._dial: Dial | None = None
        self._endpoint: OriginEndpoint | None = None  # whom a silent end is blamed on, if on any
        self._first = b""
        self._unanswered = False  # the upstream has a hello and has not said a thing
        self._answer = b""  # what it has said, while that is too little to tell
        self._behind = b""  # what the client sent behind its hello
        self._early = False  # it has sent more meanwhile, which waits in the kernel
        self._charged = 0
        self._touched = plane.reactor.now
        self.bucket = 0

    def charge(self, count: int) -> None:
        """Go on counting bytes that were gathered for the upstream, until it is there."""
        self._charged = count
        self._plane.budget.charge(count)

    def expect_answer(self, behind: bytes) -> None:
        """Until the upstream has answered its hello, pass nothing on that comes behind it.

        For it may be asked for a second hello, which is to be judged. `behind` is what the client
        has sent already. A client waits for the answer itself, unless it sends early data.
        """
        self._unanswered = True
        self._behind = behind

    def dial(self, pool: Pool, first: bytes) -> None:
        """Connect to an endpoint of `pool`, send `first`, then relay.

        The client's socket is not watched before the upstream is there.
        """
        self._first = first
        self._dial = Dial(self._plane, pool, first, self)
        self._dial.start()

    def connected(self, sock: SocketType, endpoint: OriginEndpoint, sent: int) -> None:
        """The upstream is there."""
        self._dial = None
        first, self._first = self._first, b""
        client = self._client
        if client is None:
            sock.close()
            return
        plane = self._plane
        if self._charged:
            plane.budget.release(self._charged)
            self._charged = 0
        if self._behind:
            self.charge(len(self._behind))
        plane.counters.up(len(first))
        self._up = up = Flow(client, sock, plane.pipes)
        self._down = Flow(sock, client, plane.pipes)
        verdict = self.connection.verdict
        if verdict is not None and verdict.allowed:
            self._endpoint = endpoint
        events = _READING
        if sent < len(first):
            up.hold(memoryview(first)[sent:])
            events = _BOTH
        reactor = plane.reactor
        reactor.watch(client.fileno(), _READING, self.on_client)
        reactor.watch(sock.fileno(), events, self.on_upstream)
        reactor.schedule(self, reactor.now + plane.settings.limits.tunnel_idle_seconds)

    def unreachable(self, failure: Failure) -> None:
        """No endpoint could be reached."""
        self._dial = None
        self._end(failure.cause, cut=True)

    def adopt(self, upstream: SocketType, up: bytes | memoryview, down: bytes | memoryview) -> None:
        """Take over two connected, watched sockets, with bytes to be sent to each first."""
        client = self._client
        if client is None:
            return
        plane = self._plane
        self._up = Flow(client, upstream, plane.pipes)
        self._down = Flow(upstream, client, plane.pipes)
        if up:
            self._up.hold(up)
        if down:
            self._down.hold(down)
        reactor = plane.reactor
        try:
            reactor.update(client.fileno(), _BOTH, self.on_client)
            reactor.update(upstream.fileno(), _BOTH, self.on_upstream)
        except OSError:  # no room for a watch, and nobody else knows of the tunnel
            reactor.failed(self)
            return
        reactor.schedule(self, reactor.now + plane.settings.limits.tunnel_idle_seconds)

    def resume(
        self,
        upstream: SocketType,
        endpoint: OriginEndpoint,
        answer: bytes,
        *,
        unasked: bytes,
        unsent: bytes,
        ended: bool,
    ) -> None:
        """Go on where the native plane has stopped, at what the upstream said first.

        Neither socket is watched. The upstream has yet to take `unasked`, the client `unsent`;
        `ended` says that the client sends nothing more.
        """
        plane = self._plane
        client = self.connection.sock
        self._up = up = Flow(client, upstream, plane.pipes)
        self._down = down = Flow(upstream, client, plane.pipes)
        up.ended = ended
        down.moved = len(answer)
        if unasked:
            up.hold(unasked)
        if unsent:
            down.hold(unsent)
        verdict = self.connection.verdict
        if verdict is not None and verdict.allowed:
            self._endpoint = endpoint
        self._unanswered = True
        reactor = plane.reactor
        reactor.watch(client.fileno(), _BOTH, self.on_client)
        reactor.watch(upstream.fileno(), _BOTH, self.on_upstream)
        reactor.schedule(self, reactor.now + plane.settings.limits.tunnel_idle_seconds)
        self._hear(up, down, memoryview(answer))

    # Readiness.

    def on_client(self, events: int) -> None:
        """The client's socket is ready."""
        up, down = self._up, self._down
        if events == IN and up is not None and not up.blocked and not up.ended:
            self._pump(up, False)
        elif up is not None and down is not None:
            self._ready(events, up, down)

    def on_upstream(self, events: int) -> None:
        """The upstream's socket is ready."""
        up, down = self._up, self._down
        if events == IN and down is not None and not down.blocked and not down.ended:
            self._pump(down, False)
        elif up is not None and down is not None:
            self._ready(events, down, up)

    def _ready(self, events: int, reading: Flow, writing: Flow) -> None:
        """A socket is ready; `reading` has it as its source, `writing` as its sink."""
        if events & OUT and writing.blocked:
            self._pump(writing, True)
        if events & _HEARD and not reading.blocked and not reading.ended:
            self._pump(reading, bool(events & _BEHIND))
        elif events & ERR:
            self._end("peer_reset", cut=True)

    def _pump(self, flow: Flow, behind: bool) -> None:
        """Move bytes until the source is empty, or the sink is full, or the turn is over.

        `behind` says that there may be more behind a short read: only a read that finds nothing,
        or the end, tells.
        """
        up, down = self._up, self._down
        if up is None or down is None:
            return
        if self._unanswered and flow is up:
            self._hold_back(up, down)
            return
        plane = self._plane
        self._touched = plane.reactor.now
        buffer = plane.buffer
        before = flow.moved
        turns = _TURNS
        try:
            progress = flow.pump(buffer)
            if self._unanswered:
                self._hear(up, down, buffer)
            while progress is _MORE or (behind and progress is _STARVED):
                if turns <= 1:
                    break
                turns -= 1
                if progress is _MORE:
                    progress = flow.pump(buffer)
                    continue
                bulk, moved = flow.bulk, flow.moved
                flow.bulk = False  # a splice may find nothing where a read finds something
                progress = flow.pump(buffer)
                if self._unanswered:
                    self._hear(up, down, buffer)
                if progress is _STARVED and flow.moved == moved:
                    flow.bulk = bulk
                    behind = False
        except HelloRefused as refused:
            self._refuse(refused.verdict)
            return
        except OSError:
            if flow is down:
                self._blame(up, down)
            self._end("peer_reset", cut=True)
            return
        if flow is up:
            plane.counters.up(flow.moved - before)
        else:
            plane.counters.down(flow.moved - before)
        if progress is _STARVED and not behind:
            return
        if progress is _ENDED:
            if flow is down:
                self._blame(up, down)
            if up.ended and down.ended:
                self._end("closed")
                return
            try:
                flow.end_sink()
            except OSError:
                self._end("peer_reset", cut=True)
            return
        # The sink is full, or the turn is over: setting the events anew reports them anew.
        waits_for = flow.sink if flow.blocked else flow.source
        handler = self.on_client if waits_for is up.source else self.on_upstream
        plane.reactor.update(waits_for.fileno(), _BOTH, handler)

    # The second hello.

    def _hold_back(self, up: Flow, down: Flow) -> None:
        """Leave with the client what it sends before the upstream has answered; pass on its end."""
        try:
            if not up.flush():
                self._plane.reactor.update(up.sink.fileno(), _BOTH, self.on_upstream)
                return
            if up.source.recv(1, MSG_PEEK) or self._behind:
                self._early = True
                return
            up.ended = True
            up.end_sink()
        except BlockingIOError:
            return
        except OSError:
            self._end("peer_reset", cut=True)
            return
        if down.ended:
            self._end("closed")

    def _hear(self, up: Flow, down: Flow, buffer: memoryview) -> None:
        """See if the upstream asks for a second hello in what it says first, now in `buffer`.

        Raises HelloRefused if that is here already and is not allowed.
        """
        answer: bytes | memoryview = buffer[: down.moved - len(self._answer)]
        if self._answer:
            answer = self._answer + answer
        again = asks_again(answer)
        if again is None and not down.ended and len(answer) < _LONGEST_ANSWER:
            self._answer = bytes(answer)
            return
        self._unanswered = False
        self._answer = b""
        behind, self._behind = self._behind, b""
        if self._charged:
            self._plane.budget.release(self._charged)
            self._charged = 0
        reactor = self._plane.reactor
        if again:
            until = reactor.now + self._plane.settings.limits.hello_seconds
            self._up = second = HelloFlow(self.connection, up, until)
            reactor.unschedule(self)
            reactor.schedule(self, until)
            if behind:
                second.take(behind)
            up = second
        elif behind:
            up.hold(bytes(up.held) + behind)
        # Setting the events anew reports them anew.
        if up.blocked:
            reactor.update(up.sink.fileno(), _BOTH, self.on_upstream)
        if self._early:
            reactor.update(up.source.fileno(), _BOTH, self.on_client)

    def _refuse(self, verdict: Verdict) -> None:
        """Block what the second hello asks for: nothing of it has been passed on."""
        self.connection.blocks(TLS, verdict)
        self._end(verdict.reason, cut=True)

    def _blame(self, up: Flow, down: Flow) -> None:
        """Count it as a failure if the upstream breaks before it has sent a byte.

        A TLS server answers a hello, with an alert if it does not like it (RFC 8446 6.2), and the
        gate passes on well-formed ones only. So silence before the end says that nobody is there,
        as with a balancer that has no server left. It says nothing where the client ended first
        or sent more than its first bytes, nor where the name is one that only monitoring lets
        through, which an origin may well not serve.
        """
        endpoint = self._endpoint
        if endpoint is not None and not (down.moved or up.moved or up.ended):
            rest = self._plane.settings.upstreams.rest_seconds
            endpoint.failed(self._plane.reactor.now, rest)

    # Ending.

    def check(self, now: float) -> float:
        """End the tunnel when nothing has moved for too long."""
        if self._client is None:
            return 0.0
        idle_until = self._touched + self._plane.settings.limits.tunnel_idle_seconds
        up = self._up
        if isinstance(up, HelloFlow) and up.waits:
            if now < up.until:
                return min(up.until, idle_until)
            try:
                up.expire()
            except HelloRefused as refused:
                self._refuse(refused.verdict)
                return 0.0
            self._plane.reactor.update(up.sink.fileno(), _BOTH, self.on_upstream)
        if now < idle_until:
            return idle_until
        self._end("idle", cut=True)
        return 0.0

    def abort(self, cause: str = "aborted") -> None:
        """End at once, with resets on both sides."""
        self._end(cause, cut=True)

    def _end(self, cause: str, *, cut: bool = False) -> None:
        up, down = self._up, self._down
        if self._client is None:
            return
        self._client = self._up = self._down = None
        if self._charged:
            self._plane.budget.release(self._charged)
        reactor = self._plane.reactor
        reactor.unschedule(self)
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        if up is not None and down is not None:
            if cut:
                reset(up.sink)
            reactor.retire(up.sink)
            up.close()
            down.close()
        self.connection.end(cause, cut=cut)
