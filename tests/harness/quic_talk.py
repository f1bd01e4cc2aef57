"""A QUIC connection whose two ends a test plays by hand.

Only its Initials are encrypted; what follows looks like packets of the right kinds, which is all
that anybody on the way may see.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.harness import filings
from tests.harness.datagrams import DatagramClient
from tests.harness.initial import Initials, long_header
from tests.harness.quic_stage import QuicStage
from tests.harness.waiting import wait_for

RAW = filings.TO_RAW


@dataclass(slots=True)
class Talk:
    """A connection that the raw origin answers by hand; nothing in it is encrypted but Initials."""

    stage: QuicStage
    client: DatagramClient
    sending: Initials
    gate: Any
    """The gate's address towards the origin."""
    server_cid: bytes

    def from_client(self, datagram: bytes) -> None:
        """Send it, and wait until the origin has it."""
        self.all_from_client(datagram)

    def all_from_client(self, *datagrams: bytes) -> None:
        """Send them, and wait until the origin has them all."""
        raw, gate, before = self.stage.raw, self.gate, len(self.stage.raw.of(self.gate))
        self.client.send(*datagrams)
        wait_for(lambda: len(raw.of(gate)) >= before + len(datagrams), "them at the origin")
        assert raw.of(gate)[before:] == list(datagrams)

    def from_server(self, *datagrams: bytes) -> None:
        """Send them, and wait until the client has them all."""
        for datagram in datagrams:
            self.stage.raw.sock.sendto(datagram, self.gate)
        for datagram in datagrams:
            assert self.client.receive() == datagram

    def handshake(self, size: int = 1200) -> bytes:
        """A datagram with a Handshake packet of the server's."""
        return long_header(
            "handshake", self.sending.scid, self.server_cid, size=size - 40
        ) + secrets.token_bytes(size - 44)

    def answer(self) -> None:
        """The server's first datagram, and the client's Handshake packet behind it."""
        self.from_server(self.handshake())
        self.from_client(
            long_header("handshake", self.server_cid, self.sending.scid, size=90)
            + secrets.token_bytes(86)
        )

    def short(self, size: int = 90, cid: bytes | None = None) -> bytes:
        """A 1-RTT packet of the client's."""
        head = b"\x43" + (self.server_cid if cid is None else cid)
        return head + secrets.token_bytes(size - len(head))


@contextmanager
def talking(
    stage: QuicStage,
    *,
    listener: str = "quic",
    client: DatagramClient | None = None,
    server_cid: bytes | None = None,
    name: str = RAW,
    **how: Any,
) -> Iterator[Talk]:
    """A connection whose hello has passed."""
    own = stage.client(listener, **how) if client is None else client
    sending = Initials()
    hello = sending.hello(name)
    try:
        own.send(hello)
        gate = stage.raw.sender_of(hello)
        cid = secrets.token_bytes(8) if server_cid is None else server_cid
        yield Talk(stage, own, sending, gate, cid)
    finally:
        if client is None:
            own.close()
