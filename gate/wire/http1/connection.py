"""What belongs to one connection: the Connection field (RFC 9110 7.6.1), and authentication."""

import re

from gate.wire.http1.errors import BadMessage

# Fields that the gate itself writes. A client that lists one of them as hop-by-hop wants
# the upstream not to see what the gate judged by or vouches for; no honest client does it.
_PROTECTED = frozenset(
    {
        b"host",
        b"content-length",
        b"via",
        b"forwarded",
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
        b"transfer-encoding",
        b"http2-settings",
        b"proxy-connection",
        b"proxy-authorization",
        b"proxy-authenticate",
    }
)


def connection_options(value: bytes) -> frozenset[bytes]:
    """Lower-case options of a (joined) Connection field value.

    An option that is no token stays in; it names no field and so removes none.
    """
    return frozenset(option.strip(b" \t").lower() for option in value.split(b","))


def check_request_options(options: frozenset[bytes]) -> None:
    """Raises BadMessage(400) for options that name a field which the gate writes."""
    for option in options & _PROTECTED:
        raise BadMessage(
            400, f"Connection lists {option.decode()}, which is not a hop-by-hop field"
        )


def without_listed(fields: bytes, options: frozenset[bytes]) -> bytes:
    """`fields` (each line with CRLF in front) without the lines that options name."""
    listed = options - _FLAGS - _PROTECTED
    if not listed:
        return fields
    return b"".join(
        b"\r\n" + line
        for line in fields.split(b"\r\n")[1:]
        if line.partition(b":")[0].lower() not in listed
    )


# Schemes that authenticate a connection and not a request (RFC 4559, MS-NTHT). A challenge may
# stand anywhere in a list; that the word may also stand inside a quoted string does no harm.
_BY_CONNECTION = re.compile(
    rb"\r\n(?:authorization:[ \t]*|www-authenticate:(?:[^\r]*[, \t])?)"
    rb"(?:ntlm|negotiate)(?=[ \t,\r]|$)"
).search


def authenticates(fields: bytes) -> bool:
    """Whether fields (each line with CRLF in front) authenticate the connection they come on."""
    lower = fields.lower()
    return (b"\r\nauthorization:" in lower or b"\r\nwww-authenticate:" in lower) and _BY_CONNECTION(
        lower
    ) is not None
