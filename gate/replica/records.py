"""The compact form on disk of what the replica holds.

A filing is one key (the domain, lower-case A-labels) and one value: a byte with the status
in its low half and the licence's form in its high half, then the packed licence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from gate.filings import Filing, Override, OverrideKind, Status
from gate.replica.packing import pack, unpack

_CODES: Final = {
    Status.FILED: 1,
    Status.FILED_ELSEWHERE: 2,
    Status.SUSPENDED: 3,
    Status.REVOKED: 4,
}
STATUSES: Final[tuple[Status | None, ...]] = (
    None,
    Status.FILED,
    Status.FILED_ELSEWHERE,
    Status.SUSPENDED,
    Status.REVOKED,
)
"""A stored status by the low half of a value's first byte; None where no record has it."""
STATUS_MASK: Final = 0x0F
TOMBSTONE: Final = bytes((_CODES[Status.REVOKED],))
FILED: Final = _CODES[Status.FILED]
FILED_ELSEWHERE: Final = _CODES[Status.FILED_ELSEWHERE]
SUSPENDED: Final = _CODES[Status.SUSPENDED]
REVOKED: Final = _CODES[Status.REVOKED]


def encode(status: Status, licence: str) -> bytes:
    """Return the value of a filing.

    Raises ValueError for a licence that is no single printable line, and for the status
    ABSENT, which is never stored.
    """
    code = _CODES.get(status)
    if code is None:
        raise ValueError(f"the status {status.value!r} is never stored")
    form, packed = pack(licence)
    return bytes((code | form << 4,)) + packed


def decode(domain: str, value: bytes) -> Filing:
    """Return the filing of a stored value.  Raises ValueError if no `encode` made it."""
    status = (
        STATUSES[value[0] & STATUS_MASK] if value and value[0] & STATUS_MASK <= REVOKED else None
    )
    if status is None:
        raise ValueError(f"the record of {domain!r} has no known status")
    return Filing(domain, status, licence_of(value))


def licence_of(value: bytes) -> str:
    """Return the licence number in a stored value."""
    return unpack(value[0] >> 4, value[1:])


def encode_override(override: Override) -> bytes:
    return json.dumps(asdict(override), ensure_ascii=False).encode()


def decode_override(value: bytes) -> Override:
    fields = json.loads(value)
    return Override(**{**fields, "kind": OverrideKind(fields["kind"])})


def digest_line(domain: str, status: Status, licence: str) -> bytes:
    """Return one filing's line in a set's digest: tab-separated, ended by a line feed."""
    return f"{domain}\t{status.value}\t{licence}\n".encode()


def digest(filings: Iterable[Filing]) -> str:
    """SHA-256 (hexadecimal) over the lines of filings sorted by domain, REVOKED ones left out.

    Registry and gate compute the same text, so that a snapshot proves itself.
    """
    sha = hashlib.sha256()
    for filing in filings:
        if filing.status is not Status.REVOKED:
            sha.update(digest_line(filing.domain, filing.status, filing.licence))
    return sha.hexdigest()
