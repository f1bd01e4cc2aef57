"""HTTP/1 request heads."""

from __future__ import annotations

import re

from gate.wire.http1 import (
    HTTP_0_9,
    BadMessage,
    ForwardingRules,
    Framing,
    RequestHead,
    RequestParser,
    serialise_request,
)
from tests.fuzz.targets import head_in_two
from tests.native import oracle

TOKENS = (
    *(b"GET ", b"POST ", b"CONNECT ", b"OPTIONS * ", b"http://a.cn", b" HTTP/1.1\r\n", b"\r\n\r\n"),
    *(b" HTTP/1.0\r\n", b" HTTP/1.7\r\n", b"\r\n\r\n\r\n", b"Expect: a, 100-continue\r\n"),
    *(b"Host: a.cn\r\n", b"Content-Length: 5\r\n", b"Connection: ", b"upgrade"),
    *(b"Transfer-Encoding: chunked\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n"),
    *(b"X-Forwarded-For: ", b"Via: ", b"TE: trailers\r\n", b"keep-alive", b"Sec-WebSocket-Key: "),
)

# RFC 9112: what an upstream may be sent at all.
_CANONICAL = re.compile(
    rb"[!#-'*+.^-z|~A-Z0-9-]+ (?:/[^\x00-\x20\x7f#]*|\*) HTTP/1\.1\r\n"
    rb"(?:[!#-'*+.^-z|~A-Z0-9-]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)+\r\n"
)
_ONCE = (b"host", *(b"x-forwarded-" + name for name in (b"for", b"proto", b"host", b"port")))
_FORWARDED = ForwardingRules().client("203.0.113.9")
_STATUSES = {400, 405, 414, 431, 501, 505}

_EMPTY = b"\r\n" * 3

_shared = RequestParser()
_forgetful = RequestParser(memo_bytes=0)
_roomy = RequestParser(max_head=1 << 20, max_line=1 << 20, max_fields=256, memo_bytes=0)


def check(data: bytes) -> None:
    """Memory and cuts change nothing; what is accepted goes on in canonical form."""
    oracle.same_request(data)
    head = whole(_forgetful, data)
    expect_same(whole(_shared, data), head)
    expect_same(cut(data), head)
    expect_skipped(data, head)
    if isinstance(head, RequestHead):
        assert 0 < head.consumed <= len(data)
        if head.minor != HTTP_0_9:
            expect_canonical(head)


def parse(data: bytes) -> object:
    """A head once, whatever its size."""
    return whole(_roomy, data)


def whole(parser: RequestParser, data: bytes) -> RequestHead | BadMessage | None:
    """What the parser says to all of `data`."""
    try:
        return parser.parse(data)
    except BadMessage as error:
        assert error.status in _STATUSES
        assert error.detail
        return error


def cut(data: bytes) -> RequestHead | BadMessage | None:
    """The same where the data comes in two portions."""
    try:
        return head_in_two(lambda buf, searched: _forgetful.parse(buf, 0, searched), data)
    except BadMessage as error:
        return error


def expect_same(
    one: RequestHead | BadMessage | None, other: RequestHead | BadMessage | None
) -> None:
    """Two refusals may differ in their reason: less was there to see."""
    assert type(one) is type(other), (one, other)
    if isinstance(one, RequestHead):
        assert fields_of(one) == fields_of(other)


def fields_of(head: object) -> tuple[tuple[str, object], ...]:
    """All of a head; heads have no equality of their own."""
    return tuple((name, getattr(head, name)) for name in RequestHead.__slots__)


def expect_skipped(data: bytes, head: RequestHead | BadMessage | None) -> None:
    """Empty lines in front change nothing but how much was taken."""
    other = whole(_forgetful, _EMPTY + data)
    if isinstance(head, RequestHead):
        assert isinstance(other, RequestHead)
        assert other.consumed == head.consumed + len(_EMPTY)
        assert dict(fields_of(other)) | {"consumed": head.consumed} == dict(fields_of(head))
    else:
        assert type(other) is type(head)


def expect_canonical(head: RequestHead) -> None:
    """What the upstream is sent says the same, once, and nothing besides."""
    host = head.host or b"a.cn"
    sent = serialise_request(head, host=host, forwarded=_FORWARDED)
    assert _CANONICAL.fullmatch(sent)
    names = [line.partition(b":")[0].lower() for line in sent.split(b"\r\n")[1:-2]]
    for name in _ONCE:
        assert names.count(name) == 1
    assert names.count(b"content-length") == (head.framing is Framing.LENGTH)
    assert names.count(b"transfer-encoding") == (head.framing is Framing.CHUNKED)
    again = _roomy.parse(sent)
    assert again is not None
    assert again.consumed == len(sent)
    assert again.fields.startswith(head.fields)
    for part in ("method", "target", "framing", "length", "upgrade", "expect_continue"):
        assert getattr(again, part) == getattr(head, part), part
    assert again.host == host
