"""What a client says in Accept (RFC 9110 12.5.1) that it can make use of."""

from __future__ import annotations

_NAME = b"accept:"


def accepted(fields: bytes) -> str:
    """Return the values of Accept in field lines, in lower case; "" where there is none."""
    lower = fields.lower()
    values, at = [], lower.find(_NAME)
    while at >= 0:
        end = lower.find(b"\r\n", at)
        if at == 0 or lower[at - 1] == 0x0A:
            values.append(lower[at + len(_NAME) : end])
        at = lower.find(_NAME, end)
    return b",".join(values).decode("latin-1")


def wants_json(accept: str) -> bool:
    """Return whether an Accept in lower case names JSON, and no HTML."""
    return "json" in accept and "html" not in accept


def shows_pages(accept: str) -> bool:
    """Return whether an Accept in lower case names HTML, as browsers do for what they show."""
    return "text/html" in accept
