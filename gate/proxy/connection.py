"""One client's connection, from accept to the end, whatever it turns out to speak.

It belongs to the worker's plane and to one listener, and has one owner at a time: the entry, then
an arrival while its first bytes are missing, then an HTTP connection or a tunnel. Who owns it
watches its socket and ends it, by `end` or `refuse`, after which nothing is left of it: `end`
counts it out once, however often it is called.
"""

from __future__ import annotations

import struct
from socket import MSG_DONTWAIT, SO_LINGER, SOL_SOCKET, SocketType
from typing import Any, Final, Self

from gate.policy import Verdict
from gate.proxy.counters import TLS
from gate.proxy.hosts import At, HostPool, NoRoom, enforces, how_it_passes
from gate.proxy.listener import ListenerState
from gate.proxy.networks import NotIntercepted
from gate.proxy.plane import Plane
from gate.settings import Address
from gate.wire.proxy_protocol import HeaderEndpoint

LINGER_RESET: Final = struct.pack("ii", 1, 0)  # close() discards what is queued and sends a RST
LINGER_OFF: Final = struct.pack("ii", 0, 0)

# A client's IP address and port, as accept() gives them (IPv6 with two more numbers) or as a
# trusted PROXY header says; never an IPv4-mapped address.
Peer = tuple[Any, ...]

_MAPPED: Final = "::ffff:"


def unmapped(peer: Peer) -> Peer:
    """Return an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2) as the IPv4 address that it is."""
    address: str = peer[0]
    if address.startswith(_MAPPED) and "." in address:
        return (address.removeprefix(_MAPPED), *peer[1:])
    return peer


class Connection:
    """What is known of a connection, and how it comes in and goes out.

    `number` is the listener's count of accepted connections at its accept. `admitted` says that
    it is counted within the limits, and ready to be watched. `verdict` is the last one that was
    made on it, None before the first.

    `destination` is what it was addressed to, "" where that is the listener itself: told by the
    kernel or by a PROXY header, which `sent_to` is from. `host` is the upstream where it is sent
    on to its destination, None where the pools count; it is counted in there until the end.
    """

    __slots__ = (
        "admitted",
        "destination",
        "ended",
        "host",
        "listener",
        "number",
        "peer",
        "plane",
        "sent_to",
        "sock",
        "verdict",
    )

    def __init__(
        self, plane: Plane, listener: ListenerState, sock: SocketType, peer: Peer, number: int
    ) -> None:
        self.plane = plane
        self.listener = listener
        self.sock = sock
        self.peer = peer
        self.number = number
        self.admitted = False
        self.ended = False
        self.verdict: Verdict | None = None
        self.destination = ""
        self.sent_to: HeaderEndpoint | None = None
        self.host: HostPool | None = None

    @classmethod
    def adopted(
        cls,
        plane: Plane,
        listener: ListenerState,
        sock: SocketType,
        peer: Peer,
        number: int,
        host: HostPool | None,
    ) -> Self:
        """Return one that is admitted already, and counted in at its host, if it has one."""
        made = cls(plane, listener, sock, peer, number)
        made.admitted = True
        if host is not None:
            made.host, made.destination = host, host.name
        return made

    def __str__(self) -> str:
        return connection_name(self.plane.run, self.listener.name, self.number)

    @property
    def enforcing(self) -> bool:
        """Whether what is not allowed is blocked: the destination's network says, or listener."""
        return enforces(self.listener, self.host)

    def has_come_to(self, destination: HeaderEndpoint) -> None:
        """Take the destination that a trusted PROXY header gives."""
        self.sent_to = destination
        self.destination = str(Address(host=str(destination.ip), port=destination.port))

    def goes_to(self, at: At, send_proxy: str = "off") -> Verdict | None:
        """Take the host at a destination for its upstream; the verdict if that is not to be."""
        listener, plane = self.listener, self.plane
        networks = listener.networks
        source: At | None = None
        if listener.client_source != "off":
            port = self.peer[1] if listener.client_source == "address_port" else 0
            source = self.peer[0], port
        try:
            if networks is None or plane.hosts is None:
                raise NotIntercepted(f"listener {listener.name} has no destinations")
            self.host = plane.hosts.enter(
                listener.name, networks, at, source=source, send_proxy=send_proxy
            )
            self.destination = self.host.name
        except NotIntercepted:
            self.destination = str(Address(host=at[0], port=at[1]))
            return plane.decider.not_intercepted
        except NoRoom:
            return plane.decider.limit
        return None

    def lets_through(self, scheme: int, verdict: Verdict) -> None:
        """Note that it, or a request on it, passes although it is not allowed."""
        note = how_it_passes(self.listener, self.host)
        note(scheme, verdict, self.peer[0], self.number, self.destination)

    def passes(self, scheme: int, verdict: Verdict) -> None:
        """Note that it, or a request on it, passes because it is allowed."""
        self.listener.passes(scheme, verdict, self.peer[0], self.number, self.destination)

    def blocks(self, scheme: int, verdict: Verdict) -> None:
        """Note that it, or a request on it, is blocked."""
        self.listener.blocks(scheme, verdict, self.peer[0], self.number, self.destination)

    def admit(self) -> bool:
        """Count it in and make it ready to be watched; where a limit forbids that, refuse it."""
        if self.admitted:
            return True
        if not self.plane.admission.enter(self.peer[0]):
            self.refuse(self.plane.decider.limit)
            return False
        self.admitted = True
        self.sock.setblocking(False)
        if self.listener.kind == "tls":
            self.sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_OFF)
        return True

    def readmit(self, peer: Peer) -> bool:
        """Take the address that a trusted PROXY header gives; False if that has too many."""
        before, self.peer = self.peer, peer
        return self.plane.admission.move(before[0], peer[0])

    def judged(self, verdict: Verdict) -> None:
        """Keep the verdict that was made on it, or on a request on it."""
        self.verdict = verdict

    def judge_again(self) -> bool:
        """Judge it anew by the name that it asked for; return whether it is allowed as of now."""
        verdict = self.verdict
        if verdict is not None and verdict.name:
            self.verdict = verdict = self.plane.decider.judge(verdict.name.encode())
        return verdict is not None and verdict.allowed

    def malformed(self, fault: str) -> Verdict:
        """Count what it sent as malformed by the kind of the fault; return the verdict on that."""
        self.plane.counters.malformed(fault)
        return self.plane.decider.malformed_by(fault)

    def refuse(self, verdict: Verdict, cause: str = "") -> None:
        """Note that it is blocked, and reset it; it is not watched, and was sent no byte.

        `cause` is that of its end, if it is not the verdict's reason.
        """
        listener = self.listener
        self.blocks(TLS, verdict)
        if self.admitted:
            self.end(cause or verdict.reason, cut=True)
            return
        self._has_ended()
        if listener.kind != "tls":  # a tls listener's sockets are born to reset (see accept.py)
            reset(self.sock)
        self.sock.close()

    def answer(self, response: bytes) -> None:
        """Send a last response on a connection that nobody has admitted or watched, and close.

        All that the client sent must have been read: then closing loses nothing.
        """
        self._has_ended()
        sock, counters = self.sock, self.plane.counters
        counters.down(len(response))
        counters.end("answered")
        if self.listener.kind == "tls":
            sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_OFF)
        try:  # noqa: SIM105 (a context manager costs more than the rest of this)
            sock.send(response, MSG_DONTWAIT)
        except OSError:  # the client has gone already
            pass
        sock.close()

    def end(self, cause: str, *, cut: bool = False) -> None:
        """Close its socket, with a reset if it is `cut`, and count it out."""
        if self.ended:
            return
        self._has_ended()
        plane = self.plane
        if cut:
            reset(self.sock)
        plane.reactor.retire(self.sock)
        if self.admitted:
            plane.admission.leave(self.peer[0])
            plane.counters.end(cause)

    def vanish(self) -> None:
        """Close it: the client has gone before it sent anything. Nobody has admitted it."""
        self._has_ended()
        self.sock.close()

    def _has_ended(self) -> None:
        self.ended = True
        host = self.host
        if host is not None and self.plane.hosts is not None:
            self.plane.hosts.leave(host)

    def abort(self, cause: str = "failed") -> None:
        """End it at once, with a reset, where nobody owns it."""
        self.end(cause, cut=True)


def connection_name(run: str, listener: str, number: int) -> str:
    """Return the name of a connection: unlike that of any other, in whichever worker."""
    return f"{run}-{listener}-{number}"


def reset(sock: SocketType) -> None:
    """Make the close that follows send a RST."""
    sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_RESET)
