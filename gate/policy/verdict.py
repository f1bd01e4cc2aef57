"""What the gate decides, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a connection or request passes or not; the name is used in logs, metrics and APIs.

    `code` is the reason's index, for counters in lists.
    """

    code: int

    filed = "filed"
    unfiled = "unfiled"
    filed_elsewhere = "filed_elsewhere"
    revoked = "revoked"
    suspended = "suspended"
    exempt = "exempt"
    ip_host = "ip_host"
    no_host = "no_host"
    no_sni = "no_sni"
    malformed = "malformed"
    timeout = "timeout"
    limit = "limit"


for _code, _reason in enumerate(Reason):
    _reason.code = _code


@dataclass(slots=True, eq=False)
class Verdict:
    """The decision on one name. Shared by all connections that ask for it: do not change it.

    `name` is the canonical name asked for ("" if there is none), `domain` the filing or override
    at or above it that decided ("" if there is none), `licence` its licence number.
    """

    allowed: bool
    reason: Reason
    code: int
    name: str = ""
    domain: str = ""
    licence: str = ""


def verdict(
    allowed: bool, reason: Reason, name: str = "", domain: str = "", licence: str = ""
) -> Verdict:
    """A verdict with its reason's code."""
    return Verdict(allowed, reason, reason.code, name, domain, licence)
