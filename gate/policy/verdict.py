"""What the gate thinks of a connection or request, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gate.replica.records import licence_of


class Reason(StrEnum):
    """Why a verdict is what it is; notice page, logs, metrics and APIs use these names."""

    FILED = "filed"
    UNFILED = "unfiled"
    FILED_ELSEWHERE = "filed_elsewhere"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    EXEMPT = "exempt"
    IP_HOST = "ip_host"
    NO_HOST = "no_host"
    NO_SNI = "no_sni"
    ECH = "ech"
    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    LIMIT = "limit"
    NOT_INTERCEPTED = "not_intercepted"
    ACME = "acme"

    @property
    def code(self) -> int:
        """The reason's index in `REASONS`, for arrays of counters."""
        return _CODES[self]


REASONS: Final[tuple[Reason, ...]] = tuple(Reason)
REMINDED: Final = frozenset(
    {Reason.UNFILED, Reason.FILED_ELSEWHERE, Reason.REVOKED, Reason.SUSPENDED}
)
"""Blocked for these, a domain has an owner who can be told; the registry is, for that."""
_CODES: Final = {reason: code for code, reason in enumerate(REASONS)}


@dataclass(slots=True, eq=False)
class Verdict:
    """The outcome for one host text.

    `name` is the canonical name asked for ("" if there is none), as it may go upstream: an
    IP host is its address, IPv6 in brackets.  `domain` is the filing or override that
    decided, or "".  `record` is the filing's stored value, or b"".  `anchor` is the cache's:
    what its index has the verdict under.  `fault` is the kind of what is malformed, where a
    reader told it.
    """

    allowed: bool
    reason: Reason
    code: int
    name: str = ""
    domain: str = ""
    record: bytes = b""
    anchor: str = ""
    fault: str = ""

    @property
    def licence(self) -> str:
        """The licence number of the filing that was found, or "" (decoded when asked for)."""
        return licence_of(self.record) if self.record else ""


def nameless(reason: Reason, *, allowed: bool = False, fault: str = "") -> Verdict:
    """Return the verdict on a connection that names no host."""
    return Verdict(allowed, reason, reason.code, fault=fault)
