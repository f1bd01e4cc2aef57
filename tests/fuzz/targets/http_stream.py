"""Whole client streams: requests with bodies, one after another, as an upstream gets them.

This is the invariant against request smuggling: a strict reader of what the gate sends upstream
finds the same requests, with the same hosts and the same bodies, as the gate found itself.
"""

from __future__ import annotations

from gate.wire.http1 import (
    HTTP_0_9,
    BadMessage,
    ChunkedBody,
    ForwardingRules,
    Framing,
    LengthBody,
    RequestHead,
    RequestParser,
    serialise_request,
)
from tests.fuzz.targets import http_request, in_two

TOKENS = (*http_request.TOKENS, b"5\r\nhello\r\n", b"0\r\n\r\n", b";a=b\r\n", b"0\r\nX: y\r\n\r\n")

_FORWARDED = ForwardingRules().client("203.0.113.9")
_MOST = 8  # requests of one stream

Request = tuple[bytes, bytes, bytes, bytes]
"""Method, target, host and body."""

_shared = RequestParser()
_upstream = RequestParser(max_head=1 << 20, max_fields=256, memo_bytes=0)


def check(data: bytes) -> None:
    """What goes upstream holds the requests that the gate judged, and no other."""
    requests, sent = read(_shared, data)
    # A body that broke off went upstream as far as it came; no reader may take it for complete.
    again, _ = read(_upstream, sent)
    assert again == requests


def parse(data: bytes) -> object:
    """A stream once."""
    return read(_upstream, data)


def read(parser: RequestParser, data: bytes) -> tuple[list[Request], bytes]:
    """The complete requests in `data`, and what the gate sends upstream for all of it."""
    requests: list[Request] = []
    sent = bytearray()
    at = 0
    while len(requests) < _MOST:
        try:
            head = parser.parse(data, at)
        except BadMessage:
            break
        if head is None or head.minor == HTTP_0_9:
            break
        host = head.host or b"a.cn"
        sent += serialise_request(head, host=host, forwarded=_FORWARDED)
        at += head.consumed
        passed, body, used, done = read_body(head, data[at:])
        sent += passed
        at += used
        if not done:
            break
        requests.append((head.method, head.target, host, body))
        if head.upgrade or not head.keep_alive:
            break
    return requests, bytes(sent)


def read_body(head: RequestHead, data: bytes) -> tuple[bytes, bytes, int, bool]:
    """What goes upstream of a body, its content, the bytes it took, and if it is complete."""
    if head.framing is Framing.NONE:
        return b"", b"", 0, True
    if head.framing is Framing.LENGTH:
        out, used, done = LengthBody(head.length).feed(data)
        return bytes(out), bytes(out), used, done
    passing, reading = ChunkedBody(), ChunkedBody(rechunk=False)
    passed, content, used = bytearray(), bytearray(), 0
    try:
        for portion in in_two(data):
            out, took, done = passing.feed(portion)
            passed += out
            used += took
            bare, bare_took, bare_done = reading.feed(portion)
            content += bare
            assert (took, done) == (bare_took, bare_done)
            if done:
                return bytes(passed), bytes(content), used, True
    except BadMessage:
        pass  # the gate closes; what it had passed on stays a body without an end
    return bytes(passed), bytes(content), used, False
