"""The states of a flow, which is one QUIC connection of one client.

    state    meaning                                   leaves it by
    HELD     its hello is not complete                 a verdict; hello_seconds
    OPEN     it may pass, and has a socket of its own  a packet to an ID that the server chose,
             towards the upstream                      which only its client knows; 10 s
    PROVEN   the client is where it says that it is    idle_seconds
    ENDED    nothing is left of it

HELD and OPEN cost memory at the word of an address that may be forged: they are bounded together,
and the oldest goes first. Until its client's first Handshake or 1-RTT packet, every Initial of a
flow is read, for it may carry a second hello; from then on none is taken (RFC 9001 section 4.9.1:
the client has discarded the keys).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from gate.policy import Verdict


class FlowState(Enum):
    """Where a flow is in its life."""

    HELD = auto()
    OPEN = auto()
    PROVEN = auto()
    ENDED = auto()


@dataclass(slots=True, frozen=True)
class Moved:
    """What a flow inherits from one of the same connection, from another address of the client."""

    verdict: Verdict
    family: int
    upstream: Any
    """The address of its upstream."""
    cids: tuple[bytes, ...]
    origin: object
