"""What the HTTP/1 parsers refuse, and why."""

from enum import StrEnum

from gate.wire.errors import WireError


class BadMessage(WireError):
    """A message that the gate refuses to understand, and so never forwards.

    `status` is what to answer a client with (400, 405, 414, 431, 501, 505); it is
    always 502 when an upstream's response was refused. `detail` says what was wrong,
    for the log and for the client, in one line.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.status}: {self.detail}"


class ResponseFault(StrEnum):
    """Why an upstream's response was refused; each is counted under its own name."""

    not_http = "not_http"
    """The first line is no HTTP/1 status line."""
    bad_field = "bad_field"
    """A header line is no field: no colon, or a name that is none."""
    too_large = "too_large"
    """The head has too many bytes or fields."""
    bad_length = "bad_length"
    """Content-Length is no number, or there are several that differ."""
    length_and_coding = "length_and_coding"
    """Content-Length and Transfer-Encoding on one body (RFC 9112 6.3)."""
    unknown_coding = "unknown_coding"
    """Transfer-Encoding is neither chunked alone nor identity."""
    bad_chunk = "bad_chunk"
    """A chunked body is not framed as one, or its trailers are bad."""
    bad_switch = "bad_switch"
    """A 101 that names no protocol, or one that was not asked for."""
    endless_interims = "endless_interims"
    """More interim responses (1xx) than anybody who is at work sends."""


class BadResponse(BadMessage):
    """An upstream's response that the gate refuses; `kind` is the fault for counters."""

    def __init__(self, kind: ResponseFault, detail: str) -> None:
        super().__init__(502, detail)
        self.kind = kind
