"""The Connection field and what it removes (RFC 9110 7.6.1)."""

from gate.wire.http1.errors import BadMessage
from gate.wire.http1.grammar import TOKEN

# Fields that the gate itself writes, or that carry framing or routing. A client
# that lists one of them as hop-by-hop wants the gate to judge by a field that the
# upstream will not see; no honest client does it.
PROTECTED = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
    }
)
# Options that need no removal: a flag, or a field that never is forwarded anyway.
_FLAGS = frozenset(
    {
        b"",
        b"close",
        b"keep-alive",
        b"upgrade",
        b"te",
        b"http2-settings",
        b"proxy-connection",
        b"proxy-authorization",
        b"proxy-authenticate",
    }
)


def connection_options(value: bytes, status: int) -> frozenset[bytes]:
    """Lower-case options of a (joined) Connection field value.

    Raises BadMessage(status) for an option that is no token or names a field that
    must reach the upstream.
    """
    options = frozenset(option.strip(b" \t").lower() for option in value.split(b","))
    for option in options - _FLAGS:
        if not TOKEN.fullmatch(option):
            raise BadMessage(status, f"Connection option {option[:40]!r} is not a token")
        if option in PROTECTED:
            raise BadMessage(
                status, f"Connection lists {option.decode()}, which is not a hop-by-hop field"
            )
    return options


def without_listed(fields: bytes, options: frozenset[bytes]) -> bytes:
    """`fields` (each line with CRLF in front) without the lines that options name."""
    listed = options - _FLAGS
    if not listed:
        return fields
    return b"".join(
        b"\r\n" + line
        for line in fields.split(b"\r\n")[1:]
        if line.partition(b":")[0].lower() not in listed
    )
