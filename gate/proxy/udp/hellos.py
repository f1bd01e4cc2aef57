"""The hellos of one QUIC connection: gathered, judged, and the datagrams held until then.

A connection has one hello as a rule. A Retry makes the client say it again, under keys of its own;
a HelloRetryRequest makes it say another one behind the first. Each is judged, and all must name
the same host: which of them a server goes by is not for the gate to know (openssl#32472).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from gate.policy import Verdict
from gate.proxy.admission import OVER_BUDGET
from gate.proxy.failure import ProxyError
from gate.proxy.udp.parts import QuicParts
from gate.wire.quic import (
    BadFlight,
    BadPacket,
    ClientFlight,
    LongHeader,
    PacketType,
    QuicFault,
    pull_packets,
    without_initials,
)
from gate.wire.tls import ClientHello

MOST_HELD: Final = 16
"""Datagrams that are held of one connection until it can be judged."""
_MOST_RETRIES: Final = 8
_INITIAL: Final = PacketType.INITIAL


class Blocked(ProxyError):
    """The connection is not to go on; `cause` is that of its end, if it is not the reason."""

    def __init__(self, verdict: Verdict, cause: str = "") -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
        self.cause = cause or verdict.reason.value


class Hellos:
    """What the client of one connection said in its Initials, and what is held of it."""

    __slots__ = ("_charged", "_flights", "_last", "_parts", "gave_up", "held", "verdict")

    def __init__(self, parts: QuicParts, dcid: bytes) -> None:
        self._parts = parts
        self._last = ClientFlight(dcid)
        self._flights = {dcid: self._last}
        self._charged = 0
        self.held: list[bytes] = []
        """Datagrams that wait for the rest of a hello, in the order in which they came."""
        self.verdict: Verdict | None = None
        """The verdict on the first hello."""
        self.gave_up = False
        """The client has closed the connection."""

    def add_retry(self, dcid: bytes) -> bool:
        """Note a Retry: the client begins again, with this ID; return False for too many."""
        if len(self._flights) > _MOST_RETRIES:
            return False
        self._flights.setdefault(dcid, ClientFlight(dcid))
        return True

    def flight(self, dcid: bytes) -> ClientFlight:
        """Return the flight of Initials to `dcid`.

        An ID of the server's own goes with the last one.
        """
        return self._flights.get(dcid) or self._last

    def take(self, datagram: bytes, packets: list[LongHeader]) -> list[bytes]:
        """Read a datagram; return those that may go to the upstream by now, in their order.

        Raises Blocked if the connection is not to go on, BadPacket if the datagram is none of its.
        """
        if not any(packet.type is _INITIAL for packet in packets):
            if self.verdict is not None and not self.held:
                return [datagram]
            if not self._hold(datagram):  # the connection does not end for want of 0-RTT
                self._parts.counters.drop("early")
            return []
        flight = self.flight(packets[0].dcid)
        try:
            taken = flight.take(datagram, packets)
        except BadFlight as error:
            decider = self._parts.decider
            raise Blocked(
                decider.limit if error.kind is QuicFault.too_large else decider.malformed
            ) from None
        self.gave_up |= taken.closes
        for hello in taken.hellos:
            self._judge(hello)
        if not flight.complete:
            if not self._hold(datagram):
                over = len(self.held) < MOST_HELD
                raise Blocked(self._parts.decider.limit, OVER_BUDGET if over else "")
            return []
        self._last = flight
        return [*self.release(), datagram] if self.held else [datagram]

    def freeze(self) -> dict[str, Any]:
        """Return all of it but the verdict, as JSON can have it."""
        return {
            "flights": [flight.freeze() for flight in self._flights.values()],
            "last": self._last.dcid.hex(),
            "held": [datagram.hex() for datagram in self.held],
        }

    @classmethod
    def thaw(cls, parts: QuicParts, verdict: Verdict, frozen: Mapping[str, Any]) -> Hellos:
        """Return what was frozen. Raises KeyError, TypeError or ValueError for none."""
        hellos = cls(parts, bytes.fromhex(frozen["last"]))
        flights = [ClientFlight.thaw(each) for each in frozen["flights"]]
        hellos._flights = {flight.dcid: flight for flight in flights}
        hellos._last = hellos._flights[bytes.fromhex(frozen["last"])]
        hellos.verdict = verdict
        for datagram in map(bytes.fromhex, frozen["held"]):  # the rest of a second hello is due
            with contextlib.suppress(BadPacket, Blocked):
                hellos.take(datagram, pull_packets(datagram))
        return hellos

    def _judge(self, hello: ClientHello) -> None:
        parts = self._parts
        if hello.ech:
            parts.traffic.ech()
        verdict = parts.decider.decide_hello(hello.sni, hello.ech)
        first = self.verdict
        if first is None:
            self.verdict = verdict
        elif (verdict.name, verdict.allowed) != (first.name, first.allowed):
            raise Blocked(parts.decider.malformed if verdict.allowed else verdict, "other_name")

    def _hold(self, datagram: bytes) -> bool:
        """Hold a datagram, unless that would be over a bound."""
        if len(self.held) >= MOST_HELD or not self._parts.budget.hold(len(datagram)):
            return False
        self._charged += len(datagram)
        self.held.append(datagram)
        return True

    def release(self) -> list[bytes]:
        """Return what is held, which is held no more."""
        held, self.held = self.held, []
        self._parts.budget.release(self._charged)
        self._charged = 0
        return held


def pass_late(parts: QuicParts, datagram: bytes, packets: list[LongHeader]) -> list[bytes]:
    """Return what may go on of a datagram when no Initial is due any more: all but Initials.

    Those are no loss, for their keys are gone at both ends (RFC 9001 section 4.9.1). What the
    client has put into one datagram with them may be what the server waits for.
    """
    if all(packet.type is not _INITIAL for packet in packets):
        return [datagram]
    parts.counters.drop("late_initial")
    rest = without_initials(datagram, packets)
    return [rest] if rest else []
