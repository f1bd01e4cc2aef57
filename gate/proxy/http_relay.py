"""What passes between the two sides of an exchange beside heads: bodies, and after a switch all.

Back-pressure is in what is watched: a side is read only while the other one takes what comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gate.proxy.chunk_flow import ChunkFlow
from gate.proxy.flow import Flow, Progress
from gate.proxy.http_pending import settle
from gate.proxy.http_upload import Upload, has_left
from gate.proxy.http_upstream import UpstreamConnection
from gate.proxy.reactor import IN, OUT
from gate.proxy.tunnel import Tunnel
from gate.wire.http1 import BadMessage, ResponseHead, serialise_response

if TYPE_CHECKING:
    from gate.proxy.http_exchange import Exchange

_ENDED: Final = Progress.ENDED  # globals: see http_parts.py
_BLOCKED: Final = Progress.BLOCKED

# What a client may send ahead of the response to its request before it is made to wait.
_AHEAD_BYTES = 1 << 16


def watch(exchange: Exchange) -> None:
    """Watch both sockets for what can be used now."""
    client, upstream, down = exchange.client, exchange.upstream, exchange.down
    if upstream is None:
        if len(client.buffer) >= _AHEAD_BYTES:
            client.want(max(client.events, 0) & ~IN)  # until there is an upstream
        return
    up = None if exchange.upload is None else exchange.upload.flow
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


def pump_up(exchange: Exchange, upload: Upload) -> None:
    """Move what can be moved of the request to the upstream."""
    flow, client = upload.flow, exchange.client
    if flow is None:
        return
    plane = client.plane
    before = flow.moved
    try:
        progress = flow.pump(plane.buffer)
    except BadMessage as bad:
        if exchange.responding:
            client.abort("malformed")
        else:
            exchange.drop_upstream()
            client.malformed(bad.status, bad.detail)
        return
    except OSError:
        # The upstream takes no more, but may have answered already: its response counts.
        if has_left(client.sock):
            client.abort("peer_reset")
            return
        exchange.closes = True
        exchange.usable = False
        upload.close()
        watch(exchange)
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
            if not settle(client):
                return
        upload.whole = True
        client.deadline = plane.reactor.now + plane.response_timeout
    watch(exchange)


def pump_down(exchange: Exchange, flow: Flow | ChunkFlow) -> None:
    """Move what can be moved of the response to the client."""
    client = exchange.client
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
        exchange.down = None
        flow.close()
        if not flow.complete:
            exchange.drop_upstream()
            # A client that gets no chunks would take an end in order for that of the body.
            unframed = isinstance(flow, ChunkFlow) and exchange.head.minor < 1
            client.end("broken_response", cut=unframed)
            return
        upstream = exchange.upstream
        if flow.rest or (exchange.usable and upstream is not None and upstream.stale()):
            exchange.usable = False  # what it sent beyond this response answers no request
        exchange.complete()
    elif progress is _BLOCKED or was_blocked:
        watch(exchange)


def switch(
    exchange: Exchange, upstream: UpstreamConnection, head: ResponseHead, rest: bytes
) -> None:
    """The upstream switches protocols: from here on the two sides talk unread.

    Only a request without a body asks for that, so it is the rest of its head, at most, that
    the upstream has yet to take, and still gets first (RFC 9110 7.8).
    """
    client, upload = exchange.client, exchange.upload
    if not head.upgrade or head.upgrade != exchange.head.upgrade:
        exchange.drop_upstream()
        client.refuse(502, "the origin switched to a protocol that was not asked for")
        return
    up = client.buffer
    if upload is not None and isinstance(upload.flow, Flow):
        up = bytes(upload.flow.held) + up
    exchange.upstream = None
    unsent = client.send(serialise_response(head, close=False))
    down = bytes(client.take_held(unsent)) if unsent is not None or client.held else b""
    verdict = client.verdict
    if verdict is None:
        return
    tunnel = Tunnel(client.plane, client.listener, client.sock, client.peer, client.number, verdict)
    client.hand_over()
    tunnel.adopt(upstream.sock, up, down + rest)
