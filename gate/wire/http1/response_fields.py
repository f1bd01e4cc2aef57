"""The header block of a response: sorted, made ready to be sent on.

Built like request_fields.py. What the framing fields come to depends on the status and the
request as well, so that response.py has the word.
"""

from dataclasses import dataclass

from gate.wire.http1.connection import authenticates, connection_options, without_listed
from gate.wire.http1.special import special_fields, take_out

_SPECIAL = special_fields(
    b"connection content-length transfer-encoding upgrade te keep-alive proxy-connection "
    b"proxy-authenticate proxy-authorization"
)
_NO_CODING = (b"", b"identity")


@dataclass(slots=True, eq=False)
class ResponseFields:
    """What a response's header block says, whatever its status line."""

    fields: bytes
    """End-to-end fields, framing not among them."""
    length: bytes | None
    """Content-Length as it came, several joined with a comma."""
    coding: bytes
    """Transfer codings in lower case with a comma between; empty if the body has none."""
    close: bool
    keep_alive_1_0: bool
    upgrade: bytes
    authenticates: bool
    """It asks for, or is part of, the authentication of the connection."""


def parse_response_fields(block: bytes) -> ResponseFields:
    """Return what a header block says that is in good form (header_block of grammar.py)."""
    values, rest = take_out(_SPECIAL, block)
    close = keep_alive_1_0 = False
    connection = values.get(b"connection")
    if connection is not None:
        connection = connection.lower()
        if connection == b"keep-alive":
            keep_alive_1_0 = True
        elif connection == b"close":
            close = True
        else:
            options = connection_options(connection)
            rest = without_listed(rest, options)
            close = b"close" in options
            keep_alive_1_0 = b"keep-alive" in options and not close
    coding = values.get(b"transfer-encoding", b"").lower()
    return ResponseFields(
        rest[2:] + b"\r\n" if rest else b"",
        values.get(b"content-length"),
        coding if coding in (b"", b"chunked") else _codings(coding),
        close,
        keep_alive_1_0,
        # Empty elements of a list mean nothing (RFC 9110 5.6.1.2).
        values.get(b"upgrade", b"").lower().strip(b", \t"),
        authenticates(rest),
    )


def _codings(value: bytes) -> bytes:
    """Return a list of codings without those that are none: RFC 2616 3.6 had one named identity."""
    codings = [coding.strip(b" \t") for coding in value.split(b",")]
    return b",".join([coding for coding in codings if coding not in _NO_CODING])
