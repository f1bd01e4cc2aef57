"""A TLS connection after its ClientHello: pass it on untouched, or reset it."""

from __future__ import annotations

from socket import SO_LINGER, SOL_SOCKET, SocketType

from gate.policy import Reason, Verdict, nameless
from gate.proxy.plane import LINGER_OFF, READ_BYTES, ListenerState, Peer, Plane, reset
from gate.proxy.proxy_header import header_for
from gate.proxy.tunnel import Tunnel
from gate.proxy.upstream import UpstreamError
from gate.wire.tls import ClientHello

_TLS = 1  # index of TLS in a listener's figures
_ECH = nameless(Reason.NO_SNI)  # an outer name that may not count is no name


def judge_hello(
    plane: Plane,
    listener: ListenerState,
    sock: SocketType,
    peer: Peer,
    number: int,
    hello: ClientHello,
    first: bytes,
    admitted: bool,
) -> None:
    """Decide on a connection by its hello; `first` is all that was read of it so far.

    `number` is the listener's number of the connection.
    """
    decider = plane.decider
    sni = hello.sni
    verdict = decider.decide(sni) if sni else decider.no_sni
    if sni and b":" in sni and verdict.name and (sni.count(b":") == 1 or b"]:" in sni):
        # A port, as a Host may have it; RFC 6066 section 3 knows none in a HostName. (More colons
        # are in an IPv6 address, with brackets or without.)
        verdict = decider.malformed
    if hello.ech:
        plane.ech += 1
        if plane.blocks_ech and verdict.allowed:
            verdict = _ECH
    if verdict.allowed:
        listener.passed[_TLS][verdict.code] += 1
        if plane.observing:
            plane.observe(listener.settings.name, "tls", peer[0], verdict, True, number)
    elif listener.enforcing:
        refuse_tls(plane, listener, sock, peer, number, verdict, admitted)
        return
    else:
        wave_tls(plane, listener, sock, peer, number, verdict, first, admitted)
        return
    pass_tls(plane, listener, sock, peer, number, verdict, first, admitted)


def wave_tls(
    plane: Plane,
    listener: ListenerState,
    sock: SocketType,
    peer: Peer,
    number: int,
    verdict: Verdict,
    first: bytes,
    admitted: bool,
) -> None:
    """Let through what would be blocked, because the listener only monitors."""
    listener.waved[_TLS][verdict.code] += 1
    plane.observe(listener.settings.name, "tls", peer[0], verdict, True, number)
    pass_tls(plane, listener, sock, peer, number, verdict, first, admitted)


def pass_tls(
    plane: Plane,
    listener: ListenerState,
    sock: SocketType,
    peer: Peer,
    number: int,
    verdict: Verdict,
    first: bytes,
    admitted: bool,
) -> None:
    """Open a tunnel to the upstream of the name, if the limits let the connection in."""
    if not admitted:
        if not plane.admit(peer[0]):
            refuse_tls(plane, listener, sock, peer, number, plane.decider.limit, admitted)
            return
        sock.setblocking(False)
        sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_OFF)
    # From here on the tunnel answers for the admission, whatever fails.
    tunnel = Tunnel(plane, listener, sock, peer, number, verdict)
    try:
        pool = plane.router.only_tls
        if pool is None:
            try:
                pool = plane.router.tls(verdict.name)
            except UpstreamError:
                tunnel.abort("no_upstream")
                return
        if pool.speaks_proxy:
            first = header_for(pool, sock, peer) + first
        if admitted and len(first) > READ_BYTES:
            tunnel.charge(len(first))
        tunnel.dial(pool, first)
    except Exception:
        plane.reactor.failed(tunnel)


def refuse_tls(
    plane: Plane,
    listener: ListenerState,
    sock: SocketType,
    peer: Peer,
    number: int,
    verdict: Verdict,
    admitted: bool,
    cause: str = "",
) -> None:
    """Reset a connection that is not watched; no byte has been sent on it.

    `cause` is counted for the end of an admitted one, if it is not the verdict's reason.
    """
    listener.blocked[_TLS][verdict.code] += 1
    plane.observe(listener.settings.name, "tls", peer[0], verdict, False, number)
    if admitted:
        plane.leave(peer[0], cause or verdict.reason)
        reset(sock)
    elif listener.settings.kind == "http":
        reset(sock)
    sock.close()
