"""A TLS connection after its ClientHello: pass it on untouched, or reset it.

Which of the two is decided in gate/policy/decider.py (`decide_hello`).
"""

from __future__ import annotations

from typing import Final

from gate.policy import Verdict
from gate.proxy.admission import READ_BYTES
from gate.proxy.connection import Connection
from gate.proxy.counters import TLS
from gate.proxy.proxy_header import header_for
from gate.proxy.tunnel import Tunnel
from gate.proxy.upstream import Pool, UpstreamError
from gate.wire.tls import ClientHello, hello_end

_RECORD_HEADER: Final = 5


def take(connection: Connection, hello: ClientHello, first: bytes) -> None:
    """Judge a connection by its hello and act on it; `first` is all that was read of it."""
    plane = connection.plane
    if hello.ech:
        plane.counters.ech()
    verdict = plane.decider.decide_hello(hello.sni, hello.ech)
    if verdict.allowed:
        connection.judged(verdict)
        connection.passes(TLS, verdict)
        _forward(connection, verdict, first, hello=True)
    elif connection.enforcing:
        connection.refuse(verdict)
    else:
        monitor(connection, verdict, first, hello=True)


def monitor(connection: Connection, verdict: Verdict, first: bytes, *, hello: bool = False) -> None:
    """Let through what would be blocked, because the gate only monitors here.

    `hello` says that `first` begins with a ClientHello.
    """
    connection.judged(verdict)
    connection.lets_through(TLS, verdict)
    _forward(connection, verdict, first, hello=hello)


def _forward(connection: Connection, verdict: Verdict, first: bytes, *, hello: bool) -> None:
    """Open a tunnel to the upstream of the name, if the limits let the connection in."""
    gathered = connection.admitted and len(first) > READ_BYTES
    if not connection.admit():
        return
    plane = connection.plane
    # From here on the tunnel answers for the admission, whatever fails.
    tunnel = Tunnel(connection)
    try:
        pool: Pool | None = connection.host or plane.router.only_tls
        if pool is None:
            try:
                pool = plane.router.tls(verdict.name)
            except UpstreamError:
                tunnel.abort("no_upstream")
                return
        if hello:
            behind = b""
            if len(first) != _RECORD_HEADER + (first[3] << 8 | first[4]):  # not one record alone
                end = hello_end(first)
                first, behind = first[:end], first[end:]
            tunnel.expect_answer(behind)
        if pool.speaks_proxy:
            first = header_for(pool, connection) + first
        if gathered:
            tunnel.charge(len(first))
        tunnel.dial(pool, first)
    except Exception:
        plane.reactor.failed(tunnel)
