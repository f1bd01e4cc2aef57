"""What can be wrong with what came as QUIC."""

from __future__ import annotations

from enum import StrEnum

from gate.wire.errors import WireError


class QuicFault(StrEnum):
    """Why a datagram or a first flight was refused; each is counted under its own name."""

    truncated = "truncated"
    bad_length = "bad_length"
    bad_connection_id = "bad_connection_id"
    small_datagram = "small_datagram"
    no_initial = "no_initial"
    not_for_servers = "not_for_servers"
    unknown_version = "unknown_version"
    two_connections = "two_connections"
    undecryptable = "undecryptable"
    reserved_bits = "reserved_bits"
    bad_frame = "bad_frame"
    illegal_frame = "illegal_frame"
    overlap = "overlap"
    too_large = "too_large"
    bad_hello = "bad_hello"


class QuicError(WireError):
    """The root of this package's errors.

    `kind` is the fault for counters, `detail` says what was wrong and where.
    """

    def __init__(self, kind: QuicFault, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class BadPacket(QuicError):
    """No packet that a server could take: dropped, and nothing is kept of it."""


class BadFlight(QuicError):
    """A client's packets can be read, and what they carry cannot be judged."""
