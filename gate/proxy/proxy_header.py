"""The PROXY protocol header that tells an upstream who the client is."""

from __future__ import annotations

from ipaddress import ip_address
from socket import SocketType

from gate.proxy.plane import Peer
from gate.proxy.upstream import Pool
from gate.wire.proxy_protocol import Endpoint, ProxyHeader, serialise


def header_for(pool: Pool, client: SocketType, peer: Peer) -> bytes:
    """The header for a new connection to `pool` on behalf of `client`; empty if none is wanted."""
    if not pool.speaks_proxy:
        return b""
    host, port = client.getsockname()[:2]
    return serialise(
        ProxyHeader(
            version=1 if pool.send_proxy == "v1" else 2,
            source=Endpoint(ip_address(peer[0]), peer[1]),
            destination=Endpoint(ip_address(host), port),
        )
    )
