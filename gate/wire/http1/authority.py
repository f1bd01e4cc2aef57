"""The authority of a Host field or of an absolute-form target (RFC 9110 4.2, 7.2)."""

import re

from gate.wire.http1.errors import BadMessage
from gate.wire.http1.grammar import AUTHORITY

_UNWELCOME = (
    (re.compile(rb"[\x00-\x1f\x7f]"), "a control byte"),
    (re.compile(rb","), "a comma: there can be one host only"),
    (re.compile(rb" "), "a space"),
    (re.compile(rb"@"), "user information"),
    (re.compile(rb"[/?#\\]"), "a path"),
)
_PORT = re.compile(rb".*:([0-9]*)", re.DOTALL)


def check_authority(authority: bytes, where: str) -> None:
    """Raises BadMessage(400) unless authority is one host with an optional port.

    Whether the host is a good name is for gate.names to say.
    """
    found = AUTHORITY.fullmatch(authority)
    if found is not None:
        port = found[2]
        if port and int(port) > 65535:
            raise BadMessage(400, f"{where} has a port above 65535")
        return
    if not authority:
        raise BadMessage(400, f"{where} is empty")
    for pattern, what in _UNWELCOME:
        if pattern.search(authority):
            raise BadMessage(400, f"{where} has {what}: {authority[:80]!r}")
    if _PORT.fullmatch(authority) is None and b":" in authority and b"[" not in authority:
        raise BadMessage(400, f"{where} has a port that is no number: {authority[:80]!r}")
    raise BadMessage(400, f"{where} is not a host with an optional port: {authority[:80]!r}")
