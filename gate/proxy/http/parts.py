"""How the parts of an exchange are cut: what to send at once of a message, and what is left of it.

Pure functions and plain values; sockets are the exchange's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gate.policy import Verdict
from gate.wire.http1 import (
    REQUEST_CHUNKS,
    RESPONSE_CHUNKS,
    ChunkedBody,
    ForwardedClient,
    Framing,
    RequestHead,
    ResponseHead,
    serialise_request,
    serialise_response,
)

# Reading a member from its class costs more than a function call; a global is free.
_NONE: Final = Framing.NONE
_LENGTH: Final = Framing.LENGTH
_CHUNKED: Final = Framing.CHUNKED
_CLOSE: Final = Framing.CLOSE


@dataclass(slots=True)
class RequestPart:
    """The first part of a request for the upstream, and what is to follow it.

    `ahead` is what the client sent beyond this request's known part. `left` body bytes, or
    `chunks`, are still to come.
    """

    data: bytes
    ahead: bytes
    left: int = 0
    chunks: ChunkedBody | None = None


@dataclass(slots=True)
class ResponsePart:
    """The first part of a response for the client, and what is to follow it.

    `left` body bytes (-1: until the upstream closes), or `chunks`, are still to come. `close`
    says that the client's connection ends with this response, `usable` that the upstream's can
    carry another.
    """

    data: bytes
    left: int
    chunks: ChunkedBody | None
    close: bool
    usable: bool


def is_head(data: bytes) -> bool:
    """Return whether a request that was not understood is a HEAD: its answer has no content."""
    return data.lstrip(b"\r\n").startswith(b"HEAD ")


def first_of_request(
    head: RequestHead, ahead: bytes, verdict: Verdict, forwarded: ForwardedClient
) -> RequestPart:
    """Return the request's head, and the body bytes that came with it.

    Raises BadMessage if the body is malformed already.
    """
    host = head.host or b""
    if verdict.name and not host.isascii():
        host = _ascii_authority(host, verdict)
    data = serialise_request(head, host=host, forwarded=forwarded)
    if head.framing is _NONE:
        return RequestPart(data, ahead)
    if head.framing is _LENGTH:
        length = head.length
        left = max(length - len(ahead), 0)
        return RequestPart(data + ahead[:length], ahead[length:], left)
    chunks = ChunkedBody(REQUEST_CHUNKS, rechunk=True)
    out, used, done = chunks.feed(ahead)
    return RequestPart(data + out, ahead[used:], 0, None if done else chunks)


def first_of_response(
    head: ResponseHead, rest: bytes, minor: int, *, close: bool, whole: bool
) -> ResponsePart:
    """Return the response's head, and the body bytes that came with it in `rest`.

    `minor` is the client's HTTP version, `close` whether its connection ends anyway, `whole`
    whether all of its request has been read. Raises BadMessage for bad chunks.
    """
    framing = head.framing
    close = close or not whole or framing is _CLOSE or (framing is _CHUNKED and minor < 1)
    usable = head.keep_alive and whole and framing is not _CLOSE
    out = serialise_response(head, close=close, client_minor=minor)
    if framing is _CHUNKED:
        chunks = ChunkedBody(RESPONSE_CHUNKS, rechunk=minor >= 1)
        body, used, done = chunks.feed(rest)
        usable = usable and used == len(rest)
        return ResponsePart(out + body, 0, None if done else chunks, close, usable)
    if framing is _CLOSE:
        return ResponsePart(out + rest, -1, None, close, False)
    length = head.length if framing is _LENGTH else 0
    left = length - len(rest)
    if left < 0:  # bytes that no request has asked for
        return ResponsePart(out + rest[:length], 0, None, close, False)
    return ResponsePart(out + rest, left, None, close, usable)


def _ascii_authority(host: bytes, verdict: Verdict) -> bytes:
    """Return the judged name for a Host in UTF-8, with its port.

    The origin sees what was judged.
    """
    _, colon, port = host.rpartition(b":")
    name = verdict.name.encode("ascii")
    return name + b":" + port if colon and port.isdigit() else name
