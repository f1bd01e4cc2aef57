"""The header block of a response: checked, sorted, made ready to be sent on.

Built like request_fields.py. Origins are many and old, and RFC 9112 lets a proxy mend
two of their faults, which is done here before anything is read from the block:
whitespace before a colon is removed (5.1) and a folded line is unfolded (5.2).
"""

import re
from dataclasses import dataclass

from gate.wire.http1.connection import connection_options, without_listed
from gate.wire.http1.diagnosis import what_is_wrong
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.grammar import DIGITS, MAX_LENGTH, TCHAR
from gate.wire.http1.special import special_fields, take_out

_SPECIAL = special_fields(
    b"connection content-length transfer-encoding upgrade te keep-alive proxy-connection "
    b"proxy-authenticate proxy-authorization"
)
_SPACE_BEFORE_COLON = re.compile(rb"(\r\n" + TCHAR + rb"++)[ \t]++:")
_FOLD = re.compile(rb"(?<=[^\r\n])\r\n[ \t]++")


@dataclass(slots=True, eq=False)
class ResponseFields:
    """What a response's header block says, whatever its status line."""

    fields: bytes
    """End-to-end fields, framing not among them."""
    length: int
    """Content-Length, or -1."""
    chunked: bool
    close: bool
    keep_alive_1_0: bool
    upgrade: bytes


def parse_response_fields(
    block: bytes, grammar: re.Pattern[bytes], max_fields: int
) -> ResponseFields:
    """Parses a header block; `grammar` is header_block(max_fields) of grammar.py.

    Raises BadMessage(502).
    """
    if grammar.fullmatch(block) is None:
        block = _mended(block)
        if grammar.fullmatch(block) is None:
            if block.count(b"\r\n") > max_fields:
                raise BadMessage(502, f"more than {max_fields} header fields")
            raise BadMessage(502, what_is_wrong(block))
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
    length = values.get(b"content-length")
    coding = values.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadMessage(502, "Content-Length with Transfer-Encoding (RFC 9112 6.3)")
        if coding.lower() != b"chunked":
            raise BadMessage(502, f"Transfer-Encoding is not chunked alone: {coding[:80]!r}")
    return ResponseFields(
        rest[2:] + b"\r\n" if rest else b"",
        -1 if length is None else _content_length(length),
        coding is not None,
        close,
        keep_alive_1_0,
        # Empty elements of a list mean nothing (RFC 9110 5.6.1.2).
        values.get(b"upgrade", b"").lower().strip(b", \t"),
    )


def _mended(block: bytes) -> bytes:
    return _SPACE_BEFORE_COLON.sub(rb"\1:", _FOLD.sub(b" ", block))


def _content_length(value: bytes) -> int:
    """One length; identical repeated ones count as one (RFC 9112 6.3, case 5)."""
    if b"," in value:
        first, *others = (length.strip(b" \t") for length in value.split(b","))
        if any(other != first for other in others):
            raise BadMessage(502, f"Content-Lengths that differ: {value[:80]!r}")
        value = first
    if DIGITS.fullmatch(value) is None or (length := int(value)) > MAX_LENGTH:
        raise BadMessage(502, f"Content-Length is not a number below 2**63: {value[:80]!r}")
    return length
