"""The PROXY protocol header that tells an upstream who the client is."""

from __future__ import annotations

from ipaddress import ip_address

from gate.proxy.connection import Connection, unmapped
from gate.proxy.upstream import Pool
from gate.wire.proxy_protocol import HeaderEndpoint, ProxyHeader, serialise


def header_for(pool: Pool, connection: Connection) -> bytes:
    """Return what goes first on a new connection to `pool`; empty where no header is wanted."""
    if not pool.speaks_proxy:
        return b""
    peer = connection.peer
    destination = connection.sent_to
    if destination is None or destination.ip.version != ip_address(peer[0]).version:
        host, port = unmapped(connection.sock.getsockname())[:2]
        destination = HeaderEndpoint(ip_address(host), port)
    return serialise(
        ProxyHeader(
            version=1 if pool.send_proxy == "v1" else 2,
            source=HeaderEndpoint(ip_address(peer[0]), peer[1]),
            destination=destination,
        )
    )
