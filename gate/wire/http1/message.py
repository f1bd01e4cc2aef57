"""What the parsers return: heads of requests and responses."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

PSEUDONYM = b"gate"
"""The gate's name in Via."""

HTTP_0_9 = -1
"""`minor` of an HTTP/0.9 simple request: older than HTTP/1.0, so lower than 0."""


class Framing(IntEnum):
    """How the end of a message body is found (RFC 9112 6.3)."""

    NONE = 0
    """No body follows the head."""
    LENGTH = 1
    """`length` bytes follow."""
    CHUNKED = 2
    """Chunks follow, then trailers."""
    CLOSE = 3
    """The body ends with the connection; responses only."""


@dataclass(slots=True, frozen=True)
class Claims:
    """What a request says already, in the fields that are appended to or set where absent.

    `proto`, `host` and `port` are values of X-Forwarded-*, empty where it is absent; they are
    among the fields that go on as they came. `address` and `forwarded` are those of
    X-Forwarded-For and Forwarded, which do not.
    """

    address: bytes = b""
    forwarded: bytes = b""
    proto: bytes = b""
    host: bytes = b""
    port: bytes = b""


NO_CLAIMS: Final = Claims()


@dataclass(slots=True, eq=False)
class RequestHead:
    """One request head, parsed and checked.

    Do not change it: its byte strings may be shared with other requests.
    """

    method: bytes
    target: bytes
    """Origin form or `*`; an absolute-form target is already reduced."""
    minor: int
    """1, 0, or HTTP_0_9."""
    host: bytes | None
    """Authority as received, from the absolute-form target or else from Host."""
    framing: Framing
    length: int
    """Body length in bytes where framing is LENGTH, else 0."""
    keep_alive: bool
    """The client lets the connection stay open after this exchange."""
    expect_continue: bool
    """The client waits for `100 Continue` before it sends its body."""
    upgrade: bytes
    """`websocket` where it was offered properly, else empty."""
    claims: Claims
    """What the client says about who is in front of it."""
    via: bytes
    """Via as the client sent it, if the gate is to add itself; else it is one of the fields."""
    consumed: int
    """Bytes of the buffer that the head took, the empty line included."""
    onward: bytes
    """Ready-made part of the head for the upstream; see serialise_request."""
    fields_size: int
    """How much of `onward` the end-to-end fields are; they come first."""
    closing: bytes
    """Ready-made end of the head for the upstream, behind the client's address."""
    authenticates: bool
    """It authenticates its connection (NTLM, Negotiate), which then serves nobody else."""

    @property
    def fields(self) -> bytes:
        """End-to-end fields as `Name: value CRLF` each, without those the gate sets."""
        return self.onward[: self.fields_size]


@dataclass(slots=True, eq=False)
class ResponseHead:
    """One response head, parsed and checked.

    Do not change it: equal heads share one object.
    """

    status: int
    reason: bytes
    minor: int
    framing: Framing
    length: int
    """Content-Length, also where no body follows (HEAD, 304); -1 if there is none."""
    keep_alive: bool
    """The upstream connection can carry another request after this response."""
    upgrade: bytes
    """Lower-case protocol that a 101 switched to, else empty."""
    consumed: int
    line: bytes
    """Status line for the client, with its CRLF."""
    onward: bytes
    """Fields for the client: `fields`, framing and the gate's Via, if any."""
    fields_size: int
    """How much of `onward` the end-to-end fields are; they come first."""
    via: bytes
    """The gate's line of Via, if it adds one; it is the end of `onward`."""
    authenticates: bool
    """It asks to authenticate its connection (NTLM, Negotiate), which then serves nobody else."""

    @property
    def fields(self) -> bytes:
        """End-to-end fields as `Name: value CRLF` each, framing not."""
        return self.onward[: self.fields_size]
