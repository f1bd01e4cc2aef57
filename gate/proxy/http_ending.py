"""How a client's HTTP connection ends: with a last response that reaches it, or idle in a drain."""

from __future__ import annotations

from socket import SHUT_WR
from typing import TYPE_CHECKING, Final

from gate.proxy.http_pending import settle
from gate.proxy.http_state import BUSY, FLUSH, HEAD, LINGER
from gate.proxy.plane import LINGER_SECONDS
from gate.proxy.reactor import IN, OUT
from gate.wire.http1 import Framing, RequestHead

if TYPE_CHECKING:
    from gate.proxy.http import HttpConnection

_NO_BODY: Final = Framing.NONE  # a global: see http_parts.py

DRAIN_IDLE = 1.0
"""Seconds that a drain leaves a kept-alive connection for a request that may be under way."""


def answer_last(client: HttpConnection, response: bytes, head: RequestHead | None) -> None:
    """Send a last response and close, without losing it to bytes that come unread."""
    if head is not None:
        client.plane.responses[3] += 1
    rest = client.send(response)
    if rest is not None:
        client.held = client.take_held(rest)
        client.state = FLUSH
        close_when_flushed(client)
        return
    if head is not None and head.framing is _NO_BODY and not client.buffer:
        client.end("answered")  # all that the client sent was read: closing loses nothing
        return
    linger(client)


def close_when_flushed(client: HttpConnection) -> None:
    """Close after what is held is flushed."""
    client.closes = True
    client.deadline = client.plane.reactor.now + client.plane.settings.limits.body_idle_seconds
    client.want(OUT)


def linger(client: HttpConnection) -> None:
    """End our side and discard what comes, so that no reset overtakes the response.

    RFC 9112 9.6.
    """
    try:
        client.sock.shutdown(SHUT_WR)
    except OSError:
        client.end("peer_reset", cut=True)
        return
    client.state = LINGER
    client.eof = False
    client.buffer = b""
    settle(client)
    client.deadline = client.plane.reactor.now + LINGER_SECONDS
    client.want(IN)


def flush(client: HttpConnection) -> None:
    """The client takes more."""
    if client.held is not None:
        try:
            sent = client.sock.send(client.held)
        except BlockingIOError:
            return
        except OSError:
            client.end("peer_reset", cut=True)
            return
        client.deadline = client.plane.reactor.now + client.plane.settings.limits.body_idle_seconds
        if sent < len(client.held):
            client.held = client.held[sent:]
            return
        client.held = None
    if client.state is FLUSH:
        client.want(client.events & ~OUT)
        linger(client) if client.closes else client.next_request()
    elif client.exchange is not None and client.state is BUSY:
        client.exchange.client_writable()


def hurry_if_idle(client: HttpConnection) -> None:
    """Between two requests, wait for the next one no longer than DRAIN_IDLE."""
    if client.state is HEAD and not client.buffer:
        reactor = client.plane.reactor
        client.deadline = min(client.deadline, reactor.now + DRAIN_IDLE)
        reactor.unschedule(client)
        reactor.schedule(client, client.deadline)


def end_if_idle(client: HttpConnection) -> None:
    """End a connection between two requests, as a drain does at its deadline."""
    if client.state is HEAD and not client.buffer:
        client.end("drained")
