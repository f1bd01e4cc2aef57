"""Batches of changes: what a registry sends and a gate applies.

One change is one revision: a batch that takes a replica from revision F to revision T holds
exactly T - F changes, in order. So every gap, overlap and repeat is plain arithmetic, and a gate
that already has the first half of a batch can take the second half.

The payload is JSON in one canonical form (`encode`); a payload that is not byte for byte what
`encode` would have written is malformed. The signature around it is in `envelope.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gate.changes.errors import Cause, Gap, SyncError
from gate.filings import Change, Status
from gate.names import InvalidName
from gate.names import check_domain as check_name

PAYLOAD_TYPE: Final = "application/vnd.filing-gate.batch.v1+json"

MAX_CHANGES: Final = 5_000
# In base64 with the envelope around it, still below the 1 MiB that NATS takes by default.
MAX_PAYLOAD: Final = 700_000
MAX_ENVELOPE: Final = 1_000_000
MAX_LICENCE: Final = 64  # characters
MAX_REVISION: Final = 2**63 - 1

_EPOCH = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
_FRAME: Final = 200  # bytes of a payload that are not changes, at most, without the epoch
# The states that a registry can give a domain; `revoked` is what a replica makes of `absent`.
_STATUSES: Final = {
    status.value: status
    for status in Status
    if status.value in {"filed", "filed_elsewhere", "suspended", "absent"}
}


@dataclass(slots=True, frozen=True)
class Batch:
    """Changes that take a replica of `epoch` from `from_revision` to `to_revision`.

    `head` is the registry's newest revision when the batch was issued, and `issued_at` that
    time in Unix seconds: together they tell a gate how far behind it is. A batch without
    changes (from == to) is a sign of life. Raises SyncError(malformed) if the parts disagree.
    """

    epoch: str
    from_revision: int
    to_revision: int
    changes: tuple[Change, ...]
    head: int
    issued_at: int

    def __post_init__(self) -> None:
        check_epoch(self.epoch)
        if not 0 <= self.from_revision <= self.to_revision <= self.head <= MAX_REVISION:
            raise _malformed(
                f"revisions from {self.from_revision} to {self.to_revision} of {self.head} "
                "are not in order"
            )
        if len(self.changes) != self.to_revision - self.from_revision:
            raise _malformed(
                f"{len(self.changes)} changes do not lead from revision {self.from_revision} "
                f"to {self.to_revision}"
            )
        if len(self.changes) > MAX_CHANGES:
            raise SyncError(
                Cause.OVERSIZE, f"{len(self.changes)} changes; a batch has {MAX_CHANGES} at most"
            )
        if not 0 <= self.issued_at <= MAX_REVISION:
            raise _malformed(f"issued_at {self.issued_at} is not a time")

    def after(self, have: int) -> Batch:
        """Return the part of the batch that a replica at revision `have` still needs.

        Without changes if it has them all. Raises Gap if it lacks earlier ones.
        """
        if have < self.from_revision:
            raise Gap(have, self.from_revision)
        if have == self.from_revision:
            return self
        start = min(have, self.to_revision)
        return Batch(
            self.epoch,
            start,
            self.to_revision,
            self.changes[start - self.from_revision :],
            self.head,
            self.issued_at,
        )

    def encode(self) -> bytes:
        """Return the canonical payload. Raises SyncError(oversize)."""
        rows = [[c.domain, c.status.value, c.licence, c.time] for c in self.changes]
        payload = _canonical_json(
            {
                "epoch": self.epoch,
                "from": self.from_revision,
                "to": self.to_revision,
                "head": self.head,
                "issued_at": self.issued_at,
                "changes": rows,
            }
        )
        if len(payload) > MAX_PAYLOAD:
            raise SyncError(
                Cause.OVERSIZE,
                f"the batch takes {len(payload)} bytes; {MAX_PAYLOAD} is the limit, "
                "send fewer changes at a time",
            )
        return payload


def decode(payload: bytes) -> Batch:
    """Read a payload strictly. Raises SyncError(malformed) or (oversize)."""
    if len(payload) > MAX_PAYLOAD:
        raise SyncError(
            Cause.OVERSIZE, f"the batch takes {len(payload)} bytes; {MAX_PAYLOAD} is the limit"
        )
    try:
        raw = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"the batch is not JSON: {error}") from error
    match raw:
        case {
            "epoch": str(epoch),
            "from": int(start),
            "to": int(end),
            "head": int(head),
            "issued_at": int(issued_at),
            "changes": list(rows),
        } if bool not in {type(start), type(end), type(head), type(issued_at)}:
            changes = tuple(_change(number, row) for number, row in enumerate(rows))
        case _:
            raise _malformed("the batch lacks a field, or one has the wrong type")
    batch = Batch(epoch, start, end, changes, head, issued_at)
    if batch.encode() != payload:
        raise _malformed("the batch is not in canonical form")
    return batch


def check_epoch(epoch: str) -> None:
    """Raise SyncError(malformed) unless `epoch` is well formed. Epochs are ordered as strings."""
    if not _EPOCH(epoch):
        raise _malformed(f"epoch {epoch[:80]!r} is not 1 to 64 letters, digits, - or _")


def split(
    epoch: str, start: int, changes: Sequence[Change], *, head: int, issued_at: int
) -> Iterator[Batch]:
    """Cut changes that follow revision `start` into batches within the limits.

    Yields nothing if there are no changes.
    """
    first = 0
    size = 0
    limit = MAX_PAYLOAD - _FRAME - len(epoch)
    for number, change in enumerate(changes):
        # A licence's quotes are escaped; 48 is the status, the longest time and punctuation.
        cost = len(change.domain) + 2 * len(change.licence.encode()) + 48
        if number - first == MAX_CHANGES or (number > first and size + cost > limit):
            yield _cut(epoch, start, changes, first, number, head, issued_at)
            first, size = number, 0
        size += cost
    if first < len(changes):
        yield _cut(epoch, start, changes, first, len(changes), head, issued_at)


def revoked(changes: Iterable[Change]) -> list[str]:
    """Return the domains whose filing no longer lets traffic pass once the changes are in force."""
    last = {change.domain: change.status for change in changes}
    return [domain for domain, status in last.items() if status is not Status.FILED]


def _cut(
    epoch: str,
    start: int,
    changes: Sequence[Change],
    first: int,
    end: int,
    head: int,
    issued_at: int,
) -> Batch:
    return Batch(epoch, start + first, start + end, tuple(changes[first:end]), head, issued_at)


def _change(number: int, row: object) -> Change:
    match row:
        case [str(domain), str(status), str(licence), int(when)] if type(when) is int:
            pass
        case _:
            raise _malformed(f"change {number} is not [domain, status, licence, time]")
    if status not in _STATUSES:
        raise _malformed(f"change {number} has the unknown status {status[:32]!r}")
    if len(licence) > MAX_LICENCE or _CONTROL(licence):
        raise _malformed(f"change {number} has an unprintable or too long licence number")
    if not 0 <= when <= MAX_REVISION:
        raise _malformed(f"change {number} has no valid time")
    check_domain(domain, f"change {number}")
    return Change(domain, _STATUSES[status], licence, when)


def check_domain(domain: str, where: str) -> None:
    """Raise SyncError(malformed) unless `domain` is a canonical name of two labels or more."""
    try:
        check_name(domain)
    except InvalidName as error:
        raise _malformed(f"{where} has the invalid domain {domain[:300]!r}: {error}") from error


def _canonical_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _malformed(message: str) -> SyncError:
    return SyncError(Cause.MALFORMED, message)
