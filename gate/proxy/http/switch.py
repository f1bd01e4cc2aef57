"""A change of protocols that the upstream has agreed to, as for WebSocket (RFC 9110 7.8)."""

from __future__ import annotations

from socket import SocketType

from gate.proxy.flow import Flow
from gate.proxy.http.client import ClientSide
from gate.proxy.http.owner import ExchangeOwner
from gate.proxy.http.relay import Upload
from gate.proxy.tunnel import Tunnel
from gate.wire.http1 import ResponseHead, serialise_response


def switch(
    owner: ExchangeOwner,
    client: ClientSide,
    upload: Upload | None,
    upstream: SocketType,
    head: ResponseHead,
    rest: bytes,
) -> None:
    """Answer the client with `head`, and give both sockets to a tunnel. The exchange is over.

    `rest` is what came behind the head. Only a request without a body asks for a change, so it is
    the rest of its head, at most, that the upstream has yet to take, and still gets first.
    """
    up = client.buffer
    if upload is not None and isinstance(upload.flow, Flow):
        up = bytes(upload.flow.held) + up
    unsent = client.send(serialise_response(head, close=False))
    down = bytes(client.take_held(unsent)) if unsent is not None or client.held else b""
    tunnel = Tunnel(owner.connection)
    owner.hand_over()
    tunnel.adopt(upstream, up, down + rest)
