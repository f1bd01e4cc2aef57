"""Where datagrams of clients come in: told apart, and led to their flows.

    a 1-RTT packet    of a flow that is known by path or ID: relayed; from elsewhere: dropped
    a long header     to an ID that is known on the path: its flow's
                      an Initial to any other: a new connection, judged by itself, whatever else is
                      open from there (a port is used again for another name: Xray-core#4704)
                      a version that is not known: Version Negotiation

Most reads bring a row of 1-RTT packets of one flow, which is sent on in one piece. The first bytes
of all datagrams in a row are looked at at once, as one string of every n-th byte.
"""

from __future__ import annotations

import socket
from collections.abc import Hashable, Mapping
from ipaddress import ip_address
from socket import SocketType
from typing import Any, Final

from gate.policy import Verdict
from gate.proxy.counters import QUIC
from gate.proxy.datagrams import (
    CONTROL_BYTES,
    Rows,
    connect,
    kernel_drops,
    prepare_listener,
    told_with,
)
from gate.proxy.hosts import At, HostPool, NoRoom, enforces
from gate.proxy.listener import ListenerState
from gate.proxy.networks import NotIntercepted
from gate.proxy.reactor import IN
from gate.proxy.udp.closing import refuse, send_answer
from gate.proxy.udp.flow import QuicFlow
from gate.proxy.udp.hellos import Blocked, Hellos
from gate.proxy.udp.neighbours import Neighbours, verdict_of
from gate.proxy.udp.parts import QuicParts
from gate.proxy.udp.path import Path
from gate.proxy.udp.states import FlowState, Moved
from gate.proxy.udp.table import FlowTable
from gate.settings import Address
from gate.wire.quic import (
    LONG,
    SMALLEST_INITIAL,
    BadPacket,
    LongHeader,
    PacketType,
    QuicFault,
    Version,
    check_opening,
    pull_invariant_header,
    pull_packets,
    version_negotiation,
)

_BATCH: Final = 64
_VERSIONS: Final = frozenset(Version)
"""What Version Negotiation would not help with: the versions that are read, and its own number."""


class QuicEntry:
    """Takes the datagrams of one listening socket."""

    def __init__(
        self,
        parts: QuicParts,
        table: FlowTable,
        neighbours: Neighbours | None,
        listener: ListenerState,
        sock: socket.socket,
    ) -> None:
        """`neighbours` are asked for a flow that is not here."""
        self._parts = parts
        self._table = table
        self.listener = listener
        self.sock = sock
        self.rows = Rows()
        self.draining = False
        self._neighbours = neighbours
        self._drops_before = 0
        self._guess = 1
        self._transparent = listener.transparent != "off"
        self._port = sock.getsockname()[1]
        prepare_listener(sock, transparent=self._transparent)

    def open(self) -> None:
        """Take datagrams from now on. Raises OSError where the kernel has no room for a watch."""
        self._drops_before = kernel_drops(self.sock)
        self._parts.reactor.watch(self.sock.fileno(), IN, self.on_ready)

    def close(self) -> None:
        """Take none any more; the socket is the supervisor's, and stays open."""
        self._parts.reactor.unwatch(self.sock.fileno())

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel had no room for while this process was to take them."""
        return kernel_drops(self.sock) - self._drops_before

    def on_ready(self, _events: int) -> None:
        """Take as many reads as probably wait: that was so many last time, or more.

        Asking once too often costs more than being told again by epoll.
        """
        receive, buffer, paths = self.sock.recvmsg_into, self._parts.buffer, self._table.paths
        guess = self._guess
        for count in range(guess):
            try:
                size, control, _, address = receive((buffer,), CONTROL_BYTES)
            except OSError:  # nothing more
                self._guess = count or 1
                return
            segment, key, local = 0, address, b""
            if control:
                segment, local = told_with(control)
                if local:
                    key = (*address, local)
            path = paths.get(key)
            if path is not None:
                flow = path.only
                if (
                    flow is not None
                    and (
                        bytes(buffer[:size:segment]).isascii() if segment else not buffer[0] & LONG
                    )
                    and buffer[1 : 1 + len(flow.alias)] == flow.alias
                    and size
                ):
                    flow.send(buffer[:size], segment)
                    continue
            step = segment or max(size, 1)
            for at in range(0, size, step):
                self.take(key, address, local, bytes(buffer[at : min(at + step, size)]))
        self._guess = min(2 * guess, _BATCH)

    def take(self, key: Hashable, address: Any, local: bytes, datagram: bytes) -> None:
        """Take one datagram, which `address` has sent to `local`."""
        path = self._table.paths.get(key)
        if path is None and self._transparent and not self._is_for_a_host(address, local):
            return
        try:
            if datagram[0] & LONG:
                self._take_long(path, key, address, local, datagram)
            else:
                self._take_short(path, key, address, local, datagram)
        except KeyError:  # of a flow that was cut
            self._parts.counters.drop("cut")

    # Destinations, where the listener stands in front of hosts.

    def _enter(self, address: Any, local: bytes) -> HostPool | None:
        """Return the host that was addressed, and count a flow in there; None without such.

        Raises NotIntercepted or NoRoom.
        """
        listener, hosts = self.listener, self._parts.hosts
        if not self._transparent or listener.networks is None or hosts is None:
            return None
        source: At | None = None
        if listener.client_source != "off":
            source = address[0], address[1] if listener.client_source == "address_port" else 0
        at = str(ip_address(local)), self._port
        return hosts.enter(listener.name, listener.networks, at, source=source, datagrams=True)

    def _is_for_a_host(self, address: Any, local: bytes) -> bool:
        """Return whether a datagram of nobody known is addressed to a host; notes if it is not."""
        decider, hosts = self._parts.decider, self._parts.hosts
        try:
            host = self._enter(address, local)
        except (NotIntercepted, NoRoom) as error:
            none = isinstance(error, NotIntercepted)
            verdict = decider.not_intercepted if none else decider.limit
            shown = str(Address(host=str(ip_address(local)), port=self._port))
            number = self.listener.count()
            self.listener.blocks(QUIC, verdict, address[0], number, shown)
            self._parts.counters.drop(verdict.reason.value)
            return False
        if host is not None and hosts is not None:
            hosts.leave(host)
        return True

    # 1-RTT packets.

    def _take_short(
        self,
        path: Path[QuicFlow] | None,
        key: Hashable,
        address: Any,
        local: bytes,
        datagram: bytes,
    ) -> None:
        table = self._table
        flow = None if path is None else path.starting(datagram)
        if flow is None:
            elsewhere = table.starting(datagram)
            if elsewhere is not None and elsewhere.path is not path:
                self._move(elsewhere, key, address, local, datagram)
                return
            flow = elsewhere
        if flow is not None:
            self._relay(flow, datagram)
        elif path is None:
            self._unknown(key, address, local, datagram)
        else:
            # An ID that the server has given in secret: of which flow, where there are several,
            # only the servers can tell, and they ignore what is not theirs.
            for each in list(path.flows):
                self._relay(each, datagram)

    def _relay(self, flow: QuicFlow, datagram: bytes) -> None:
        flow.take_short(datagram)
        path = flow.path
        if flow.state is FlowState.PROVEN and len(path.flows) == 1:
            length = len(flow.cids[0]) if flow.cids else 0
            cid = datagram[1 : 1 + length]
            if cid != flow.alias:
                flow.goes_by(cid)
            path.only = flow

    def _unknown(self, key: Hashable, address: Any, local: bytes, datagram: bytes) -> None:
        """A 1-RTT packet of no flow in this worker."""
        parts, others = self._parts, self._neighbours
        if others is None or not others.ask(
            self, self.listener.name, key, address, local, datagram, parts.reactor.now
        ):
            parts.counters.drop("no_flow")

    def _move(
        self, flow: QuicFlow, key: Hashable, address: Any, local: bytes, datagram: bytes
    ) -> None:
        """A flow's client goes on from another address."""
        moved = flow.moved() if flow.listener is self.listener else None
        if moved is None:
            self._parts.counters.drop("no_flow")
        else:
            self.go_on(moved, key, address, local, [datagram])

    def go_on(
        self, moved: Moved, key: Hashable, address: Any, local: bytes, datagrams: list[bytes]
    ) -> None:
        """Go on, from `address`, with a connection that is open from another one.

        It inherits the verdict, but not the socket: the server is to see another address, too, and
        to find out who is there (RFC 9000 section 9.3).
        """
        parts, verdict = self._parts, moved.verdict
        if verdict.name:
            verdict = parts.decider.judge(verdict.name.encode())
        try:
            host = self._enter(address, local)
        except (NotIntercepted, NoRoom):
            parts.counters.drop("not_intercepted")
            return
        try:
            self._go_on_at(host, moved, verdict, key, address, local)
        finally:
            if host is not None and parts.hosts is not None:
                parts.hosts.leave(host)  # the flow, if there is one by now, is counted by itself
        for datagram in datagrams if key in self._table.paths else ():
            self.take(key, address, local, datagram)

    def _go_on_at(
        self,
        host: HostPool | None,
        moved: Moved,
        verdict: Verdict,
        key: Hashable,
        address: Any,
        local: bytes,
    ) -> None:
        parts = self._parts
        if enforces(self.listener, host) and not verdict.allowed:
            parts.counters.drop("not_allowed")
            return
        if host is not None and tuple(host.endpoints[0].address[:2]) != tuple(moved.upstream[:2]):
            parts.counters.drop("not_intercepted")  # a connection stays with its host
            return
        path = self._path(key, address, local)
        if not self._table.has_room(path.host, parts.reactor.now):
            parts.counters.drop("limit")
            return
        try:
            sock = (
                connect(moved.family, moved.upstream)
                if host is None
                else host.endpoints[0].connect()
            )
        except OSError:
            parts.counters.drop("no_upstream")
            return
        flow = self._new_flow(path, 0)
        flow.go_on(moved, verdict, sock)
        parts.counters.moved += 1

    def thaw(self, record: Mapping[str, Any], sock: SocketType | None, origin: object) -> None:
        """Go on with a flow of another process, or with the datagrams that waited in it.

        Closes the socket where there is nothing to go on with. Raises KeyError, TypeError or
        ValueError for what no flow was frozen to.
        """
        local = bytes.fromhex(record["local"])
        address = tuple(record["address"])
        key = (*address, local) if local else address
        if sock is None:
            for datagram in map(bytes.fromhex, record["held"]):
                self.take(key, address, local, datagram)
            return
        verdict = verdict_of(record["flow"]["verdict"])
        if verdict.name:
            verdict = self._parts.decider.judge(verdict.name.encode())
        try:
            flow = self._new_flow(self._path(key, address, local), int(record["flow"]["number"]))
        except (NotIntercepted, NoRoom):  # it is none of the destinations any more
            sock.close()
            self._parts.counters.end("not_intercepted")
            return
        if flow.enforcing and not verdict.allowed and self._parts.cuts:
            sock.close()
            flow.end("revoked")
            return
        flow.thaw(record["flow"], verdict, sock, origin)
        self._parts.counters.hand_over()

    def freeze(self, flow: QuicFlow) -> dict[str, Any]:
        """Return a flow of this listener's, for another process."""
        path = flow.path
        record = {
            "listener": self.listener.name,
            "address": list(path.address),
            "local": path.local.hex(),
        }
        if flow.sock is None:
            return record | {"held": [datagram.hex() for datagram in flow.held]}
        return record | {"socket": True, "flow": flow.freeze()}

    def _new_flow(self, path: Path[QuicFlow], number: int) -> QuicFlow:
        """Return a flow on a path, to its host. Raises NotIntercepted or NoRoom."""
        host = self._enter(path.address, path.local)
        flow = QuicFlow(self._parts, self._table, path, self.listener, number, host)
        self._table.add(flow)
        return flow

    def _path(self, key: Hashable, address: Any, local: bytes) -> Path[QuicFlow]:
        """Return the path of a client, which is a new one perhaps."""
        return self._table.paths.get(key) or Path(key, self.sock, self.rows, address, local)

    # Long headers.

    def _take_long(
        self,
        path: Path[QuicFlow] | None,
        key: Hashable,
        address: Any,
        local: bytes,
        datagram: bytes,
    ) -> None:
        parts = self._parts
        try:
            packets = pull_packets(datagram)
        except BadPacket as error:
            if error.kind is not QuicFault.unknown_version or not self._negotiate(
                key, address, local, datagram
            ):
                parts.counters.drop(error.kind)
            return
        dcid = packets[0].dcid
        flow = None if path is None else path.find(dcid)
        if flow is not None:
            flow.take_long(datagram, packets)
        elif any(packet.type is PacketType.INITIAL for packet in packets):
            self._begin(key, address, local, datagram, packets)
        else:
            elsewhere = self._table.find(dcid)
            if elsewhere is None:
                parts.counters.drop("no_flow")
            else:
                self._move(elsewhere, key, address, local, datagram)

    def _negotiate(self, key: Hashable, address: Any, local: bytes, datagram: bytes) -> bool:
        """Say which versions there are (RFC 9000 section 6.1), if that is what is wrong."""
        header = pull_invariant_header(datagram)
        if header.version in _VERSIONS or len(datagram) < SMALLEST_INITIAL:
            return False
        path = self._path(key, address, local)
        send_answer(self._parts, path, version_negotiation(header), "version_negotiation")
        return True

    def _begin(
        self,
        key: Hashable,
        address: Any,
        local: bytes,
        datagram: bytes,
        packets: list[LongHeader],
    ) -> None:
        """An Initial to an ID that is not known on its path: a new connection."""
        parts, first = self._parts, packets[0]
        path = self._path(key, address, local)
        blocked: Verdict | None = None
        try:
            check_opening(datagram, packets)
            answer = parts.refusals.again((key, first.dcid), parts.reactor.now)
            if answer is not None:
                self._refuse_again(path, answer)
                return
            hellos = Hellos(parts, first.dcid)
            ready = hellos.take(datagram, packets)
            blocked = hellos.verdict
        except BadPacket as error:
            parts.counters.drop(error.kind)
            return
        except Blocked as error:
            ready, blocked = [*hellos.release(), datagram], error.verdict
        if hellos.gave_up and blocked is None:
            hellos.release()
            parts.counters.drop("gave_up")
        elif self.draining:
            hellos.release()
            parts.counters.drop("draining")
            refuse(parts, path, parts.decider.limit, hellos, first)
        else:
            self._admit(path, hellos, first, ready, blocked)

    def _admit(
        self,
        path: Path[QuicFlow],
        hellos: Hellos,
        first: LongHeader,
        ready: list[bytes],
        verdict: Verdict | None,
    ) -> None:
        """Let a new connection in, or refuse it; the verdict is None as long as there is none."""
        parts, listener = self._parts, self.listener
        number = listener.count()
        try:
            host = self._enter(path.address, path.local)
        except (NotIntercepted, NoRoom):  # it was one a moment ago
            hellos.release()
            parts.counters.drop("not_intercepted")
            return
        if host is not None and parts.hosts is not None:
            parts.hosts.leave(host)
        passes = verdict is None or verdict.allowed or not enforces(listener, host)
        if passes and not self._table.has_room(path.host, parts.reactor.now):
            verdict, passes = parts.decider.limit, False
        if verdict is None or verdict.allowed:
            self._new_flow(path, number).start(hellos, first, ready)
        elif passes:
            self._new_flow(path, number).monitor(verdict, ready or hellos.release())
        else:
            hellos.release()
            listener.blocks(QUIC, verdict, path.host, number, "" if host is None else host.name)
            refuse(parts, path, verdict, hellos, first)

    def _refuse_again(self, path: Path[QuicFlow], answer: bytes) -> None:
        """A refused client repeats itself."""
        if answer:
            send_answer(self._parts, path, answer, "close")
        else:
            self._parts.counters.drop("refused")
