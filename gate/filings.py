"""The nouns that registry, replica and policy share: a filing, a change of it, a place in the log.

Plain values without behaviour: who stores, sends or judges them does so in a module of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The state of a domain's filing, as this provider's gate must see it."""

    FILED = "filed"
    FILED_ELSEWHERE = "filed_elsewhere"
    SUSPENDED = "suspended"
    ABSENT = "absent"
    """Not filed.  Only in changes: it is stored as REVOKED, or not at all if never filed."""
    REVOKED = "revoked"
    """Once filed and now absent.  Only in the replica; a change says ABSENT."""


@dataclass(slots=True, frozen=True)
class Filing:
    """A domain in the replica.  `licence` is e.g. "京ICP备12345678号-1", or ""."""

    domain: str
    status: Status
    licence: str = ""


@dataclass(slots=True, frozen=True)
class Change:
    """One entry of a registry's change log.  `time` is in Unix seconds."""

    domain: str
    status: Status
    licence: str = ""
    time: int = 0


@dataclass(slots=True, frozen=True)
class Position:
    """Where in a registry's log the replica stands.

    `updated_at` is the Unix time at which this gate stored it.
    """

    epoch: str
    revision: int
    updated_at: float


class OverrideKind(StrEnum):
    """What an operator's override does to a domain and all names below it."""

    EXEMPT = "exempt"
    SUSPENDED = "suspended"


@dataclass(slots=True, frozen=True)
class Override:
    """An operator's decision on a domain, kept across restarts.

    `until` is the Unix time at which it ends (None: never; an exemption must have one),
    `since` the time at which it was made.
    """

    domain: str
    kind: OverrideKind
    until: float | None
    reason: str
    by: str
    since: float

    def active(self, now: float) -> bool:
        return self.until is None or now < self.until
