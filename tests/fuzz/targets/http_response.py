"""HTTP/1 response heads."""

from __future__ import annotations

import re

from gate.wire.http1 import (
    BadMessage,
    BadResponse,
    Framing,
    ResponseFault,
    ResponseHead,
    ResponseParser,
    serialise_response,
)
from tests.fuzz.targets import head_in_two, now_and_then
from tests.native import oracle

TOKENS = (
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 ", b" 101 ", b" 204 ", b" 304 ", b" 100 ", b"\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(b"Upgrade: websocket\r\n", b"Via: 1.1 a\r\n", b"Keep-Alive: ", b"Trailer: "),
    *(
        b"\n",
        b"\n\n",
        b"\n\r\n",
        b"\r",
        b"\n ",
        b"\x00",
        b" HEAD",
        b"identity",
        b"identity, chunked",
    ),
    *(b"HTTP/1.2   200 ", b"Content-Length: 5, 5\n", b"Transfer-Encoding : chunked\n"),
)

# RFC 9112: what a client may be sent at all.
_CANONICAL = re.compile(
    rb"HTTP/1\.1 [1-9][0-9]{2} [^\x00-\x08\x0a-\x1f\x7f]*\r\n"
    rb"(?:[!#-'*+.^-z|~A-Z0-9-]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*\r\n"
)
_METHODS = (b"GET", b"HEAD")
# The others are those of bodies, and of what comes after heads.
_KINDS = frozenset(ResponseFault) - {ResponseFault.bad_chunk, ResponseFault.endless_interims}

_shared = ResponseParser()
_forgetful = ResponseParser(memo_bytes=0)
_roomy = ResponseParser(max_head=1 << 20, max_fields=512, memo_bytes=0)


def check(data: bytes) -> None:
    """Memory and cuts change nothing; what is accepted goes on in canonical form."""
    for method in _METHODS if now_and_then(data) else _METHODS[:1]:
        oracle.same_response(data, method)
        head = whole(_forgetful, data, method)
        expect_same(whole(_shared, data, method), head)
        expect_same(cut(data, method), head)
        if isinstance(head, ResponseHead):
            assert 0 < head.consumed <= len(data)
            expect_canonical(head, method)


def parse(data: bytes) -> object:
    """A head once, whatever its size."""
    return whole(_roomy, data, b"GET")


def whole(parser: ResponseParser, data: bytes, method: bytes) -> ResponseHead | BadMessage | None:
    """What the parser says to all of `data`."""
    try:
        return parser.parse(data, 0, method)
    except BadMessage as error:
        assert isinstance(error, BadResponse)
        assert error.kind in _KINDS
        assert error.status == 502
        assert error.detail
        return error


def cut(data: bytes, method: bytes) -> ResponseHead | BadMessage | None:
    """The same where the data comes in two portions."""
    try:
        return head_in_two(lambda buf, searched: _forgetful.parse(buf, 0, method, searched), data)
    except BadMessage as error:
        return error


def expect_same(
    one: ResponseHead | BadMessage | None, other: ResponseHead | BadMessage | None
) -> None:
    """Two refusals may differ in their reason: less was there to see."""
    assert type(one) is type(other), (one, other)
    if isinstance(one, ResponseHead):
        for name in ResponseHead.__slots__:
            assert getattr(one, name) == getattr(other, name), name


def expect_canonical(head: ResponseHead, method: bytes) -> None:
    """What the client is sent says the same, and nothing besides."""
    if head.status < 200 or head.status in (204, 304) or method == b"HEAD":
        assert head.framing is Framing.NONE
    for close in (False, True):
        sent = serialise_response(head, close=close)
        assert _CANONICAL.fullmatch(sent)
        again = _roomy.parse(sent, 0, method)
        assert again is not None
        assert again.consumed == len(sent)
        for name in ("status", "reason", "framing", "length", "upgrade"):
            assert getattr(again, name) == getattr(head, name), name
        assert not (close and again.keep_alive)
        assert not (head.framing is Framing.CLOSE and again.keep_alive)
