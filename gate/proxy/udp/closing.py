"""Telling a client that its QUIC connection is refused, within the bounds of refusals.py."""

from __future__ import annotations

from typing import Any, Final

from gate.policy import Reason, Verdict
from gate.proxy.udp.hellos import Hellos
from gate.proxy.udp.parts import QuicParts
from gate.proxy.udp.path import Path
from gate.wire.quic import LongHeader, refusal

LATE_NUMBER: Final = 0x00FF_FFFF
"""A packet number that the server, whose packets the client may have seen, has not used yet."""


def refuse(
    parts: QuicParts,
    path: Path[Any],
    verdict: Verdict,
    hellos: Hellos,
    packet: LongHeader,
    *,
    late: bool = False,
) -> None:
    """Refuse a connection, and remember that; `packet` is one of its own.

    `late` says that the client may have heard the server already. What is malformed is not
    answered: it is no client's doing.
    """
    answer = b""
    if parts.closes and verdict.reason is not Reason.MALFORMED:
        keys = hellos.flight(packet.dcid).keys(packet.version).server
        answer = refusal(packet, keys, number=LATE_NUMBER if late else 0)
    parts.refusals.add((path.key, packet.dcid), answer, parts.reactor.now)
    if answer:
        send_answer(parts, path, answer, "close")


def send_answer(parts: QuicParts, path: Path[Any], answer: bytes, kind: str) -> None:
    """Send a datagram of the gate's own, if the bounds allow it."""
    if parts.answers.may(path.host, parts.reactor.now):
        parts.counters.answer(kind)
        path.send(memoryview(answer))
    else:
        parts.counters.answer("suppressed")
