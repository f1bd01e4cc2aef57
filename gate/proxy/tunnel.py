"""A tunnel: bytes relayed both ways between a client and an upstream, unread.

TLS pass-through dials its upstream here; an upgraded HTTP connection brings its own. Half-close
is passed on in both directions; a reset on one side becomes a reset on the other.
"""

from __future__ import annotations

from select import EPOLLERR
from socket import SocketType
from typing import Final

from gate.policy import Verdict
from gate.proxy.dial import Dial
from gate.proxy.flow import Flow, Progress
from gate.proxy.plane import Peer, Plane, reset
from gate.proxy.reactor import IN, OUT
from gate.proxy.upstream import Endpoint, Pool

_STARVED: Final = Progress.STARVED  # globals: see http.py
_ENDED: Final = Progress.ENDED


class Tunnel:
    """One client connection and one upstream connection, both owned by the tunnel.

    The plane has admitted the client already; the tunnel counts it out when it ends.
    """

    __slots__ = (
        "_client",
        "_client_events",
        "_dial",
        "_down",
        "_first",
        "_plane",
        "_touched",
        "_up",
        "_upstream_events",
        "bucket",
        "peer",
        "verdict",
    )  # fmt: skip

    def __init__(self, plane: Plane, client: SocketType, peer: Peer, verdict: Verdict) -> None:
        self._plane = plane
        self._client: SocketType | None = client
        self._up: Flow | None = None  # client to upstream
        self._down: Flow | None = None  # upstream to client
        self._dial: Dial | None = None
        self._first = b""
        self._client_events = 0
        self._upstream_events = 0
        self._touched = plane.reactor.now
        self.peer = peer
        self.bucket = 0
        self.verdict = verdict

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
        plane.bytes_up += len(first)
        self._up = up = Flow(client, sock, plane.pipes)
        self._down = Flow(sock, client, plane.pipes)
        self._client_events = self._upstream_events = IN
        if sent < len(first):
            up.hold(memoryview(first)[sent:])
            self._client_events, self._upstream_events = 0, IN | OUT
        reactor = plane.reactor
        reactor.watch(client.fileno(), self._client_events, self.on_client)
        reactor.watch(sock.fileno(), self._upstream_events, self.on_upstream)
        reactor.schedule(self, reactor.now + plane.settings.limits.tunnel_idle_seconds)

    def unreachable(self, timed_out: bool) -> None:
        """No endpoint could be reached."""
        self._dial = None
        self._end("upstream_timeout" if timed_out else "upstream_failed", cut=True)

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
        plane.reactor.rewatch(client.fileno(), self.on_client)
        plane.reactor.rewatch(upstream.fileno(), self.on_upstream)
        plane.reactor.schedule(self, plane.reactor.now + plane.settings.limits.tunnel_idle_seconds)
        self._client_events = self._upstream_events = 0
        self._pump(self._down, resuming=True)
        self._pump(self._up, resuming=True)

    # Readiness.

    def on_client(self, events: int) -> None:
        """The client's socket is ready."""
        up, down = self._up, self._down
        if up is None or down is None:
            return
        self._touched = self._plane.reactor.now
        if events & OUT:
            self._pump(down, resuming=True)
        if events & ~OUT and self._up is not None:
            self._readable(up, events)

    def on_upstream(self, events: int) -> None:
        """The upstream's socket is ready."""
        up, down = self._up, self._down
        if up is None or down is None:
            return
        self._touched = self._plane.reactor.now
        if events & OUT:
            self._pump(up, resuming=True)
        if events & ~OUT and self._down is not None:
            self._readable(down, events)

    def _readable(self, flow: Flow, events: int) -> None:
        """The source of `flow` has bytes, has ended, or is broken."""
        if not flow.ended and not flow.blocked:
            self._pump(flow)
        elif events & EPOLLERR:
            self._end("peer_reset", cut=True)
        else:
            # Hung up, and nothing may be read now: level-triggered, this would never be quiet.
            self._plane.reactor.unwatch(flow.source.fileno())
            if flow is self._up:
                self._client_events = 0
            else:
                self._upstream_events = 0

    def _pump(self, flow: Flow | None, resuming: bool = False) -> None:
        """Move bytes; `resuming` says that the flow's sink may have just become writable."""
        up, down = self._up, self._down
        if flow is None or up is None or down is None:
            return
        plane = self._plane
        before = flow.moved
        try:
            progress = flow.pump(plane.buffer)
            if flow is up:
                plane.bytes_up += flow.moved - before
            else:
                plane.bytes_down += flow.moved - before
            if progress is _STARVED and not resuming:
                return
            if progress is _ENDED:
                if up.ended and down.ended:
                    self._end("closed")
                    return
                flow.end_sink()
        except OSError:
            self._end("peer_reset", cut=True)
            return
        # Watch each socket for what its flows can use now.
        reactor = plane.reactor
        events = _events(up, down)
        if events != self._client_events:
            self._client_events = events
            reactor.update(up.source.fileno(), events, self.on_client)
        events = _events(down, up)
        if events != self._upstream_events:
            self._upstream_events = events
            reactor.update(down.source.fileno(), events, self.on_upstream)

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
        reactor = self._plane.reactor
        reactor.unschedule(self)
        if self._dial is not None:
            self._dial.abort()
            self._dial = None
        for sock in (client, up.sink if up is not None else None):
            if sock is not None:
                if cut:
                    reset(sock)
                reactor.retire(sock)
        for flow in (up, down):
            if flow is not None:
                flow.close()
        self._plane.leave(self.peer[0], cause)


def _events(reading: Flow, writing: Flow) -> int:
    """What to wait for on the socket that `reading` reads from and `writing` writes to."""
    return (0 if reading.ended or reading.blocked else IN) | (OUT if writing.blocked else 0)
