"""A tunnel: bytes relayed both ways between a client and an upstream, unread.

TLS pass-through dials its upstream here; an upgraded HTTP connection brings its own. Half-close
is passed on in both directions; a reset on one side becomes a reset on the other.

Both sockets are watched edge-triggered, so that a tunnel that never fills a socket buffer costs
two calls of epoll_ctl in its life. What this asks for in return: read until a source is empty,
and after a wait for the sink, too.
"""

from __future__ import annotations

from socket import SocketType
from typing import Final

from gate.policy import Verdict
from gate.proxy.dial import Dial, Miss
from gate.proxy.flow import Flow, Progress
from gate.proxy.plane import ListenerState, Peer, Plane, reset
from gate.proxy.reactor import EDGE, ERR, IN, OUT, PRI, RDHUP
from gate.proxy.upstream import Endpoint, Pool

_MORE: Final = Progress.MORE  # globals: see http_parts.py
_STARVED: Final = Progress.STARVED
_ENDED: Final = Progress.ENDED

_READING: Final = IN | PRI | RDHUP | EDGE
_BOTH: Final = _READING | OUT
_HEARD: Final = IN | PRI | RDHUP
# There is an end, or urgent data (at which a read stops), behind what a short read brings.
_BEHIND: Final = PRI | RDHUP
# How often one readiness may move bytes before other connections have their turn.
_TURNS = 16
_MISSED: Final = {
    Miss.FAILED: "upstream_failed",
    Miss.TIMED_OUT: "upstream_timeout",
    Miss.EXHAUSTED: "dial_exhausted",
}


class Tunnel:
    """One client connection and one upstream connection, both owned by the tunnel.

    The plane has admitted the client already; the tunnel counts it out when it ends.
    """

    __slots__ = (
        "_charged",
        "_client",
        "_dial",
        "_down",
        "_endpoint",
        "_first",
        "_plane",
        "_touched",
        "_up",
        "bucket",
        "listener",
        "number",
        "peer",
        "verdict",
    )  # fmt: skip

    def __init__(
        self,
        plane: Plane,
        listener: ListenerState,
        client: SocketType,
        peer: Peer,
        number: int,
        verdict: Verdict,
    ) -> None:
        self._plane = plane
        self._client: SocketType | None = client
        self._up: Flow | None = None  # client to upstream
        self._down: Flow | None = None  # upstream to client
        self._dial: Dial | None = None
        self._endpoint: Endpoint | None = None  # whom a silent end is blamed on, if on any
        self._first = b""
        self._charged = 0
        self._touched = plane.reactor.now
        self.listener = listener
        self.peer = peer
        self.number = number
        self.bucket = 0
        self.verdict = verdict

    @property
    def connection(self) -> str:
        """Its name in the log."""
        return self._plane.connection(self.listener, self.number)

    def charge(self, count: int) -> None:
        """Go on counting bytes that were gathered for the upstream, until it is there."""
        self._charged = count
        self._plane.pending += count

    def dial(self, pool: Pool, first: bytes) -> None:
        """Connect to an endpoint of `pool`, send `first`, then relay.

        The client's socket is not watched before the upstream is there.
        """
        self._first = first
        self._dial = Dial(self._plane, pool, first, self)
        self._dial.start()

    def connected(self, sock: SocketType, endpoint: Endpoint, sent: int) -> None:
        """The upstream is there."""
        self._dial = None
        first, self._first = self._first, b""
        client = self._client
        if client is None:
            sock.close()
            return
        plane = self._plane
        plane.pending -= self._charged
        self._charged = 0
        plane.bytes_up += len(first)
        self._up = up = Flow(client, sock, plane.pipes)
        self._down = Flow(sock, client, plane.pipes)
        if self.verdict.allowed:
            self._endpoint = endpoint
        events = _READING
        if sent < len(first):
            up.hold(memoryview(first)[sent:])
            events = _BOTH
        reactor = plane.reactor
        reactor.watch(client.fileno(), _READING, self.on_client)
        reactor.watch(sock.fileno(), events, self.on_upstream)
        reactor.schedule(self, reactor.now + plane.settings.limits.tunnel_idle_seconds)

    def unreachable(self, why: Miss) -> None:
        """No endpoint could be reached."""
        self._dial = None
        self._end(_MISSED[why], cut=True)

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
        plane = self._plane
        self._touched = plane.reactor.now
        buffer = plane.buffer
        before = flow.moved
        turns = _TURNS
        try:
            progress = flow.pump(buffer)
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
                if progress is _STARVED and flow.moved == moved:
                    flow.bulk = bulk
                    behind = False
        except OSError:
            if flow is down:
                self._blame(up, down)
            self._end("peer_reset", cut=True)
            return
        if flow is up:
            plane.bytes_up += flow.moved - before
        else:
            plane.bytes_down += flow.moved - before
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
        if now < idle_until:
            return idle_until
        self._end("idle", cut=True)
        return 0.0

    def abort(self, cause: str = "aborted") -> None:
        """End at once, with resets on both sides."""
        self._end(cause, cut=True)

    def _end(self, cause: str, *, cut: bool = False) -> None:
        client, up, down = self._client, self._up, self._down
        if client is None:
            return
        self._client = self._up = self._down = None
        self._plane.pending -= self._charged
        reactor = self._plane.reactor
        reactor.unschedule(self)
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        if cut:
            reset(client)
        reactor.retire(client)
        if up is not None and down is not None:
            if cut:
                reset(up.sink)
            reactor.retire(up.sink)
            up.close()
            down.close()
        self._plane.leave(self.peer[0], cause)
