"""What goes wrong in the data plane: the package's errors, and failures that carry their blame.

A failure says whose fault it was and whether the same may be tried again, as in Pingora
(pingora-error, `ErrorSource` and `RetryType`). Both are facts about what happened; what follows
from them, a rest for an endpoint or an answer for a client, is decided where the failure is met.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class ProxyError(Exception):
    """The root of the data plane's errors."""


class FailureSource(Enum):
    """Whose fault a failure is."""

    CLIENT = auto()
    UPSTREAM = auto()
    GATE = auto()


@dataclass(slots=True, frozen=True)
class Failure:
    """Why there is no answer from an upstream, or no more of one.

    `retry` says that another endpoint, or another connection to the same one, may do better, for
    nothing of the request can have been acted upon. `cause` is what the end of a connection is
    counted under. `status` and `detail` are what an HTTP client is told, if it can be told.
    """

    source: FailureSource
    retry: bool
    cause: str
    status: int
    detail: str


UNREACHABLE: Final = Failure(
    FailureSource.UPSTREAM,
    True,
    "upstream_failed",
    502,
    "the origin could not be reached or broke off",
)
"""An endpoint refused the connection, or broke it off before it took anything."""

CONNECT_TIMEOUT: Final = Failure(
    FailureSource.UPSTREAM, True, "upstream_timeout", 504, "the origin did not answer in time"
)
"""An endpoint did not take the connection in time."""

EXHAUSTED: Final = Failure(
    FailureSource.GATE,
    True,
    "dial_exhausted",
    503,
    "the gate has no connection to the origin to spare",
)
"""The gate, or its machine, is out of descriptors, memory or local ports."""

BROKE_OFF: Final = Failure(
    FailureSource.UPSTREAM,
    False,
    "upstream_failed",
    502,
    "the origin could not be reached or broke off",
)
"""A connection ended before the response, and the request may have been acted upon."""

KEPT_ENDED: Final = Failure(
    FailureSource.UPSTREAM,
    True,
    "upstream_failed",
    502,
    "the origin could not be reached or broke off",
)
"""A kept connection ended before the response, as at its keep-alive time-out (RFC 9110 9.2.2)."""

NO_RESPONSE: Final = Failure(
    FailureSource.UPSTREAM, False, "upstream_timeout", 504, "the origin did not answer in time"
)
"""The request went out, and no response came in time."""

BODY_TIMEOUT: Final = Failure(
    FailureSource.CLIENT, False, "timeout", 408, "the request's body was not complete in time"
)
"""The client did not send the rest of its request in time."""
