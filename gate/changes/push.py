"""A push: a signed batch is posted to a gate, and the gate answers where it stands.

    200 {"revision": R}    R is in force in every worker, also for a repeat
    409 {"have": R, …}     the batch begins beyond R, which this gate has
    409 {"have": null, …}  the gate needs a snapshot, and fetches it
    else {"cause", …}      refused, or not in force everywhere

An answer names the gate in the header `Gate-Name`, as it names itself wherever it tells of itself
(gates up to version 0.1 do not). A refusal also has its `cause` (`gate.changes.errors.Cause`) and a
`message` for people.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self

from gate.changes.batch import MAX_REVISION
from gate.changes.errors import Cause, SyncError

PUSH_PATH: Final = "/v1/push"
MAX_ANSWER: Final = 16_384  # bytes

REFUSALS: Final = {
    Cause.GAP: HTTPStatus.CONFLICT,
    Cause.NEW_EPOCH: HTTPStatus.CONFLICT,
    Cause.BAD_SIGNATURE: HTTPStatus.FORBIDDEN,
    Cause.UNKNOWN_KEY: HTTPStatus.FORBIDDEN,
    Cause.OLD_EPOCH: HTTPStatus.FORBIDDEN,
    Cause.MALFORMED: HTTPStatus.BAD_REQUEST,
    Cause.OVERSIZE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}
"""The status of each refusal; of all others, 503."""


def refusal(error: SyncError, have: int | None) -> tuple[HTTPStatus, dict[str, Any]]:
    """Return the status and the fields that refuse a push; `have` is the replica's revision."""
    status = REFUSALS.get(error.cause, HTTPStatus.SERVICE_UNAVAILABLE)
    fields: dict[str, Any] = {"cause": error.cause.value, "message": str(error)}
    if status is HTTPStatus.CONFLICT:
        fields["have"] = have if error.cause is Cause.GAP else None
    return status, fields


@dataclass(slots=True, frozen=True)
class PushAnswer:
    """Where a gate stands after a push that it had a use for, or that began too late for it."""

    revision: int | None
    """In force in every worker; None if the push was not taken."""
    have: int | None
    """Where to go on after a push that was not taken; None if the gate fetches a snapshot."""

    @classmethod
    def read(cls, status: int, body: bytes) -> Self:
        """Return what a gate answered. Raises SyncError(refused) for any other answer."""
        fields = _fields(body)
        if status in (HTTPStatus.OK, HTTPStatus.CONFLICT) and fields.keys() & {"revision", "have"}:
            return cls(_revision(fields.get("revision")), _revision(fields.get("have")))
        message = fields.get("message", body[:200].decode(errors="replace"))
        raise SyncError(Cause.REFUSED, f"answered {status}: {message}")


def _fields(body: bytes) -> dict[str, Any]:
    """Return the fields of an answer; none if it is something else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _revision(value: object) -> int | None:
    """Return a revision in an answer; None if it is something else."""
    return value if type(value) is int and 0 <= value <= MAX_REVISION else None
