"""A flow: one QUIC connection of one client, from its first Initial to the end.

Its states are in states.py. What a flow takes from its client goes upstream as it came, and back.
Only long headers are looked at on the way back: they tell the connection IDs that the server
chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from socket import SocketType
from typing import Any, Final

from gate.policy import Reason, Verdict
from gate.proxy.connection import connection_name
from gate.proxy.counters import QUIC
from gate.proxy.datagrams import CONTROL_BYTES, Control, segment_of
from gate.proxy.failure import Failure
from gate.proxy.hosts import HostPool, enforces, how_it_passes
from gate.proxy.listener import ListenerState
from gate.proxy.reactor import IN
from gate.proxy.udp.closing import refuse
from gate.proxy.udp.hellos import Blocked, Hellos, pass_late
from gate.proxy.udp.keeper import FlowKeeper
from gate.proxy.udp.parts import QuicParts
from gate.proxy.udp.path import Path
from gate.proxy.udp.states import FlowState, Moved
from gate.proxy.udp.way import Way
from gate.proxy.upstream import UpstreamError
from gate.wire.quic import LONG, BadPacket, LongHeader, PacketType, Version, pull_long_header

UNPROVEN_SECONDS: Final = 10.0
"""How long a flow whose client has not been heard of since may wait."""
_TURNS: Final = 8
"""How often one readiness may move datagrams before other flows have their turn."""
_NO_CONTROL: Final[Control] = []
_MOST_CIDS: Final = 4
"""Connection IDs that are remembered of one server; one, and that of a Retry, are usual."""
SHORTEST_ALIAS: Final = 8
"""Bytes of the shortest ID that a client is believed to have from its server."""
_INITIAL: Final = PacketType.INITIAL
_HANDSHAKE: Final = PacketType.HANDSHAKE
_RETRY: Final = PacketType.RETRY


class QuicFlow:
    """One connection; see states.py."""

    __slots__ = (
        "_answered",
        "_guess",
        "_hellos",
        "_keeper",
        "_monitored",
        "_opening",
        "_parts",
        "_way",
        "alias",
        "bucket",
        "cids",
        "destination",
        "host",
        "listener",
        "number",
        "origin",
        "path",
        "sock",
        "state",
        "touched",
        "verdict",
    )

    def __init__(
        self,
        parts: QuicParts,
        keeper: FlowKeeper[QuicFlow],
        path: Path[QuicFlow],
        listener: ListenerState,
        number: int,
        destination: HostPool | None = None,
    ) -> None:
        """`destination` is the host that it goes to, where the pools do not count; it is counted
        in there, until the flow ends.
        """
        self._parts = parts
        self._keeper = keeper
        self.path = path
        self.host = path.host
        """The client's IP address."""
        self.listener = listener
        self.number = number
        self.destination = destination
        self._hellos: Hellos | None = None
        self._opening: LongHeader | None = None
        self._monitored = False  # it passes only because the listener monitors: nothing is read
        self.state = FlowState.HELD
        self.verdict: Verdict | None = None
        self.cids: list[bytes] = []
        """What its server has chosen."""
        self.alias = b""
        """The ID that the client sends to now."""
        self.origin: object = self
        """The same for all flows of one connection, whose client has changed its address."""
        self._way: Way | None = None
        self._answered = False
        self._guess = 1  # how many reads the upstream's socket is good for
        self.sock: SocketType | None = None
        self.touched = parts.reactor.now
        self.bucket = 0
        path.add(self)

    def __str__(self) -> str:
        return connection_name(self._parts.run, self.listener.name, self.number)

    @property
    def enforcing(self) -> bool:
        """Whether what is not allowed is blocked, by the destination's network or the listener."""
        return enforces(self.listener, self.destination)

    @property
    def addressed_to(self) -> str:
        """Where it was addressed to, "" where that is the listener itself."""
        return "" if self.destination is None else self.destination.name

    # From the client.

    def start(self, hellos: Hellos, opening: LongHeader, ready: list[bytes]) -> None:
        """Begin with the datagrams that may go on by now; none if the hello is not complete.

        `opening` is the header of its first packet.
        """
        parts = self._parts
        self._hellos = hellos
        self._opening = opening
        self.path.route(opening.dcid, self)
        parts.reactor.schedule(self, parts.reactor.now + self._patience())
        if ready:
            self._open(ready)

    def monitor(self, verdict: Verdict, ready: list[bytes]) -> None:
        """Begin with datagrams that pass only because the listener monitors."""
        parts = self._parts
        parts.reactor.schedule(self, parts.reactor.now + self._patience())
        self._pass_unread(verdict)
        self._open(ready)

    def go_on(self, moved: Moved, verdict: Verdict, sock: SocketType) -> None:
        """Go on with a connection whose client has had another address."""
        self.verdict = verdict
        self.origin = moved.origin
        self.cids = list(moved.cids)
        for cid in self.cids:
            self.path.route(cid, self)
            self._keeper.learned(self, cid)
        self.state = FlowState.OPEN
        self.attach(sock)
        parts = self._parts
        parts.reactor.schedule(self, parts.reactor.now + self._patience())

    def moved(self) -> Moved | None:
        """Return what it takes to go on with it elsewhere; None as long as it has no socket."""
        if self.sock is None or self.verdict is None:
            return None
        family, address = self.sock.family, self.sock.getpeername()
        return Moved(self.verdict, family, address, tuple(self.known_ids()), self.origin)

    def take_long(self, datagram: bytes, packets: list[LongHeader]) -> None:
        """Take a datagram that begins with a long header, to one of the flow's IDs."""
        ready = self._read(datagram, packets)
        if self.state is FlowState.HELD:
            if ready:
                self._open(ready)
            return
        if packets[0].dcid in self.cids:
            if any(packet.type is _HANDSHAKE for packet in packets):
                self.end_initials()
            self.heard()
        elif ready and not self._answered and self._way is not None and self._way.is_silent():
            self._begin_anew(self._way)
        for each in ready:
            self.send(memoryview(each))

    def _read(self, datagram: bytes, packets: list[LongHeader]) -> list[bytes]:
        """Return the datagrams that may go on by now, if the flow is to go on."""
        hellos = self._hellos
        if hellos is None:
            return [datagram] if self._monitored else pass_late(self._parts, datagram, packets)
        try:
            ready = hellos.take(datagram, packets)
        except BadPacket as error:
            self._parts.counters.drop(error.kind)
            return []
        except Blocked as blocked:
            held = hellos.release()
            if self._block(blocked.verdict, blocked.cause, packets[0]):
                return []
            return [*held, datagram]
        if self.state is FlowState.HELD:
            verdict = hellos.verdict
            if verdict is not None and not verdict.allowed:
                ready = ready or hellos.release()
                return [] if self._block(verdict, verdict.reason, packets[0]) else ready
            if verdict is None and hellos.gave_up:
                self.end("gave_up")
        return ready

    def take_short(self, datagram: bytes) -> None:
        """Take a 1-RTT packet."""
        if self.state is FlowState.HELD:
            self._parts.counters.drop("early")
            return
        if any(datagram.startswith(cid, 1) for cid in self.cids):
            self.end_initials()
            self.heard()
        self.send(memoryview(datagram))

    def send(self, data: memoryview, segment: int = 0) -> None:
        """Send a datagram, or a row of them, to the upstream."""
        parts, sock = self._parts, self.sock
        self.touched = parts.reactor.now
        if sock is None:
            parts.counters.drop("no_upstream")
            return
        try:
            if segment:
                parts.traffic.bytes_up += parts.rows.send(sock, data, segment, _NO_CONTROL)
            else:
                parts.traffic.bytes_up += parts.rows.send_one(sock, data, _NO_CONTROL)
        except ConnectionRefusedError:
            self._unreachable()

    def heard(self) -> None:
        """The client has sent what only it can, behind an answer of the server."""
        if self.state is FlowState.OPEN and self._answered:
            self.state = FlowState.PROVEN
            self._keeper.proved(self)

    def goes_by(self, cid: bytes) -> None:
        """Its client sends to `cid` from now on, which may be an ID that nobody could read."""
        before, self.alias = self.alias, cid
        if before and before not in self.cids:
            self._keeper.forget(self, before)
            self.path.unroute(before)
        if cid not in self.cids and len(cid) >= SHORTEST_ALIAS:
            self._keeper.learned(self, cid)
            self.path.route(cid, self)

    def known_ids(self) -> list[bytes]:
        """Return the IDs that lead to it wherever its client is."""
        return [*self.cids, self.alias] if self.alias not in self.cids else self.cids

    def end_initials(self) -> None:
        """No Initial is due any more."""
        if self._hellos is not None:
            self._hellos.release()
            self._hellos = None
            self._opening = None

    # To another process.

    def freeze(self) -> dict[str, Any]:
        """Return all of it but its socket, as JSON can have it."""
        verdict, opening, hellos = self.verdict, self._opening, self._hellos
        return {
            "proven": self.state is FlowState.PROVEN,
            "answered": self._answered,
            "monitored": self._monitored,
            "number": self.number,
            "idle": self._parts.reactor.now - self.touched,
            "verdict": verdict and [verdict.name, verdict.allowed, verdict.reason],
            "ids": [cid.hex() for cid in self.path.ids_of(self)],
            "cids": [cid.hex() for cid in self.cids],
            "alias": self.alias.hex(),
            "origin": id(self.origin),
            "opening": opening and [opening.version, opening.dcid.hex(), opening.scid.hex()],
            "hellos": hellos and hellos.freeze(),
        }

    def thaw(
        self, frozen: Mapping[str, Any], verdict: Verdict, sock: SocketType, origin: object
    ) -> None:
        """Go on as what was frozen. Raises KeyError, TypeError or ValueError for none."""
        parts = self._parts
        self.verdict = verdict
        self.origin = origin
        self._answered = bool(frozen["answered"])
        self._monitored = bool(frozen["monitored"])
        self.touched = parts.reactor.now - float(frozen["idle"])
        self.cids = list(map(bytes.fromhex, frozen["cids"]))
        self.alias = bytes.fromhex(frozen["alias"])
        if frozen["hellos"] is not None:
            self._hellos = Hellos.thaw(parts, verdict, frozen["hellos"])
        if frozen["opening"] is not None:
            version, dcid, scid = frozen["opening"]
            ids = bytes.fromhex(dcid), bytes.fromhex(scid)
            self._opening = LongHeader(Version(version), _INITIAL, *ids, b"", 0, 0, 0)
        for cid in map(bytes.fromhex, frozen["ids"]):
            self.path.route(cid, self)
        for cid in self.known_ids():
            self._keeper.learned(self, cid)
        self.state = FlowState.OPEN
        if frozen["proven"]:
            self.state = FlowState.PROVEN
            self._keeper.proved(self)
        self.attach(sock)
        parts.reactor.schedule(self, self.touched + self._patience())

    @property
    def held(self) -> list[bytes]:
        """The datagrams that wait for the rest of a hello."""
        return [] if self._hellos is None else self._hellos.held

    # The verdict.

    def _block(self, verdict: Verdict, cause: str, packet: LongHeader | None) -> bool:
        """Refuse the connection, unless the listener only monitors; whether it was refused."""
        if not self.enforcing:
            self._pass_unread(verdict)
            return False
        self.listener.blocks(QUIC, verdict, self.host, self.number, self.addressed_to)
        hellos = self._hellos
        if packet is not None and hellos is not None:
            late = self.state is not FlowState.HELD
            refuse(self._parts, self.path, verdict, hellos, packet, late=late)
        self.end(cause, cut=True)
        return True

    def _pass_unread(self, verdict: Verdict) -> None:
        """Let it through, because the listener only monitors, and read no more of it."""
        note = how_it_passes(self.listener, self.destination)
        note(QUIC, verdict, self.host, self.number, self.addressed_to)
        self._monitored = True
        self.end_initials()
        self.verdict = self.verdict or verdict

    # Towards the upstream.

    def _open(self, datagrams: list[bytes]) -> None:
        """Let the connection through: connect to an endpoint and send what was held."""
        parts, hellos = self._parts, self._hellos
        if self.verdict is None and hellos is not None and hellos.verdict is not None:
            self.verdict = hellos.verdict
            self.listener.passes(QUIC, self.verdict, self.host, self.number, self.addressed_to)
        self.state = FlowState.OPEN
        try:
            pool = self.destination or parts.pool("" if self.verdict is None else self.verdict.name)
        except UpstreamError:
            self._give_up("no_upstream")
            return
        self._way = Way(parts, pool, datagrams)
        if self._connect(self._way):
            for datagram in datagrams:
                self.send(memoryview(datagram))

    def _connect(self, way: Way) -> bool:
        """Connect to the next endpoint; without any, the flow ends."""
        found = way.connect()
        if isinstance(found, Failure):
            self._give_up(found.cause)
            return False
        self.attach(found)
        return True

    def attach(self, sock: SocketType) -> None:
        """Relay over `sock`, which is connected to the upstream, from now on."""
        reactor = self._parts.reactor
        before, self.sock = self.sock, sock
        if before is not None:
            reactor.retire(before)
        reactor.watch(sock.fileno(), IN, self.on_upstream)

    def _unreachable(self) -> None:
        """The upstream's machine says that nobody is there; before an answer, that is the end."""
        way = self._way
        if way is not None and not self._answered and self.state is FlowState.OPEN:
            way.refused()
            self._begin_anew(way)

    def _begin_anew(self, way: Way) -> None:
        if self._connect(way):
            for datagram in way.first:
                self.send(memoryview(datagram))

    def _give_up(self, cause: str) -> None:
        """No upstream can be had: tell the client, so that it does not wait."""
        hellos, opening = self._hellos, self._opening
        if hellos is not None and opening is not None and self.verdict is not None:
            refuse(self._parts, self.path, self.verdict, hellos, opening)
        self.end(cause)

    # From the upstream.

    def on_upstream(self, _events: int) -> None:
        """The upstream's socket is ready."""
        parts = self._parts
        buffer, path = parts.buffer, self.path
        guess = self._guess
        for count in range(guess):
            sock = self.sock
            if sock is None:
                return
            try:
                size, control, _, _ = sock.recvmsg_into((buffer,), CONTROL_BYTES)
            except BlockingIOError:
                self._guess = count or 1
                return
            except ConnectionRefusedError:
                self._unreachable()
                return
            except OSError:  # another message about the way there: the two ends look after it
                return
            if not size:
                continue
            segment = segment_of(control) if control else 0
            if self.state is FlowState.PROVEN:
                self.touched = parts.reactor.now
            elif not self._answered:
                self._answered = True
                if self._way is not None:
                    self._way.answered()
            if segment:
                if not bytes(buffer[:size:segment]).isascii():  # of the first bytes, one is long
                    for at in range(0, size, segment):
                        if buffer[at] & LONG:
                            self._look_at(bytes(buffer[at : min(at + segment, size)]))
            elif buffer[0] & LONG:
                self._look_at(bytes(buffer[:size]))
            parts.traffic.bytes_down += path.send(buffer[:size], segment)
        self._guess = min(2 * guess, _TURNS)

    def _look_at(self, datagram: bytes) -> None:
        """Learn the connection IDs that the server has the client send to."""
        try:
            packet = pull_long_header(datagram)
        except BadPacket:  # Version Negotiation, which tells of none (rustnet#453)
            return
        cid = packet.scid
        if cid in self.cids or len(self.cids) >= _MOST_CIDS:
            return
        if packet.type is _RETRY and (self._hellos is None or not self._hellos.add_retry(cid)):
            return
        self.cids.append(cid)
        self.path.route(cid, self)
        self._keeper.learned(self, cid)

    # Time, and the end.

    def _patience(self) -> float:
        """Return how long it may be silent."""
        limits = self._parts.limits
        if self.state is FlowState.HELD:
            return limits.hello_seconds
        return limits.quic_idle_seconds if self.state is FlowState.PROVEN else UNPROVEN_SECONDS

    def check(self, now: float) -> float:
        """End it when it has been silent for too long."""
        until = self.touched + self._patience()
        if self.sock is None and self.state is not FlowState.HELD:
            return 0.0
        if now < until:
            return until
        if self.state is FlowState.HELD:
            held = self._hellos.release() if self._hellos is not None else []
            if not self._block(self._parts.decider.timeout, Reason.TIMEOUT, self._opening):
                self._open(held)
                return now + UNPROVEN_SECONDS
        elif self.state is FlowState.PROVEN:
            self.end("idle")
        else:
            self.end("unproven" if self._answered else "upstream_timeout")
        return 0.0

    def abort(self, cause: str = "aborted") -> None:
        """End it at once; its IDs lead nowhere any more."""
        self.end(cause, cut=True)

    def end(self, cause: str, *, cut: bool = False) -> None:
        """End it; the client and the upstream find out by themselves, unless they were told."""
        if self.state is FlowState.ENDED:
            return
        parts = self._parts
        self.state = FlowState.ENDED
        self.end_initials()
        self._way = None
        sock, self.sock = self.sock, None
        if sock is not None:
            parts.reactor.retire(sock)
        parts.reactor.unschedule(self)
        self.path.remove(self, cut=cut)
        if self.destination is not None and parts.hosts is not None:
            parts.hosts.leave(self.destination)
        self._keeper.ended(self)
        parts.counters.end(cause)
