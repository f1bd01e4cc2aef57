"""An HTTP/0.9 request where the gate only monitors: one line, and an answer without a head.

The gate cannot write such an answer of its own, nor tell where it ends but by the end of the
connection. So the line goes on as it came, and a tunnel relays what follows, both ways and unread,
as it would be without a gate. Where the gate enforces, a tunnel would let a second request past.
"""

from __future__ import annotations

from gate.proxy.connection import Connection
from gate.proxy.proxy_header import header_for
from gate.proxy.tunnel import Tunnel
from gate.proxy.upstream import Pool
from gate.wire.http1 import RequestHead


def relay(connection: Connection, pool: Pool, head: RequestHead, behind: bytes) -> None:
    """Open a tunnel to `pool` for an admitted, unwatched connection that nobody owns any more.

    `behind` is what was read behind the line.
    """
    tunnel = Tunnel(connection)
    try:
        first = b"%b %b\r\n%b" % (head.method, head.target, behind)
        if pool.speaks_proxy:
            first = header_for(pool, connection) + first
        tunnel.charge(len(first))
        tunnel.dial(pool, first)
    except Exception:
        connection.plane.reactor.failed(tunnel)
