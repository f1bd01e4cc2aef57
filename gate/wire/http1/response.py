"""Parses response heads (RFC 9112 4-6).

A head that was seen before, status line and all, is found in a memo; the same head
answers many requests. A refusal is always 502: the upstream is wrong, not the client.
"""

import re

from gate.wire.http1.diagnosis import what_is_wrong
from gate.wire.http1.errors import BadResponse, ResponseFault
from gate.wire.http1.grammar import DIGITS, MAX_LENGTH, STATUS_LINE, header_block
from gate.wire.http1.memo import HeadMemo
from gate.wire.http1.mending import mended
from gate.wire.http1.message import PSEUDONYM, Framing, ResponseHead
from gate.wire.http1.response_fields import ResponseFields, parse_response_fields

VIA_LINE = b"Via: 1.1 " + PSEUDONYM + b"\r\n"

_NONE, _LENGTH, _CHUNKED, _CLOSE = Framing
_END = b"\r\n\r\n"
_NOTHING = re.compile(rb"0{1,19}+").fullmatch
# The first empty line, however it and the line before it end (RFC 9112 2.2).
_ANY_END = re.compile(rb"\n\r?+\n")


class ResponseParser:
    """Parses response heads; one per worker, shared by all connections.

    Limits and memo are as for RequestParser, the limits larger. `via` has the gate name itself
    in Via.
    """

    __slots__ = ("_grammar", "_max_fields", "_max_head", "_memo", "_via")

    def __init__(
        self,
        max_head: int = 65536,
        max_fields: int = 256,
        memo_entries: int = 2048,
        memo_bytes: int = 1 << 20,
        via: bool = False,
    ) -> None:
        self._via = VIA_LINE if via else b""
        self._max_head = max_head
        self._max_fields = max_fields
        self._grammar = header_block(max_fields)
        self._memo: HeadMemo[ResponseHead] = HeadMemo(memo_entries, memo_bytes)

    @property
    def bounds(self) -> tuple[int, int]:
        """The limits: bytes of a head, field lines."""
        return self._max_head, self._max_fields

    def parse(
        self,
        buf: bytes | bytearray,
        start: int = 0,
        request_method: bytes = b"GET",
        searched: int = 0,
    ) -> ResponseHead | None:
        """Return the response head at `start` of buf, or None when more bytes are needed.

        `request_method` is that of the request which this answers; `searched` is as
        for RequestParser.parse. Raises BadResponse.
        """
        # Framed by rules of its own, and rare: kept out of the memo.
        known = request_method != b"HEAD" and request_method != b"CONNECT"
        end = buf.find(_END, searched - 3 if searched - 3 > start else start)
        if end >= 0 and known:
            head = self._memo.young.get(bytes(buf[start : end + 4]))
            if head is not None:
                return head
        found = _ANY_END.search(buf, searched - 2 if searched - 2 > start else start)
        if found is None:
            return self._incomplete(buf, start)
        raw = bytes(buf[start : found.end()])
        if not known:
            return self._parse(raw, request_method)
        memo = self._memo
        head = memo.young.get(raw)
        if head is None:
            head = memo.old.get(raw) or self._parse(raw, request_method)
            memo.store(raw, head)
        return head

    def _parse(self, raw: bytes, request_method: bytes) -> ResponseHead:
        """Parse one whole head, with the empty line that ends it."""
        if len(raw) > self._max_head:
            raise self._too_large()
        line_end = raw.find(b"\r\n")
        line = STATUS_LINE.fullmatch(raw, 0, line_end) if raw.endswith(_END) else None
        block = raw[line_end:-4]
        if line is None or self._grammar.fullmatch(block) is None:
            line, block = self._mended(raw)
        minor = 0 if line[1] == b"0" else 1
        status = int(line[2])
        reason = line[3] or b""
        entry = parse_response_fields(block)
        framing, length, sound = _framing(status, request_method, entry)
        upgrade = entry.upgrade if status == 101 else b""
        if status == 101 and not upgrade:
            raise BadResponse(
                ResponseFault.bad_switch, "101 without an Upgrade field to name the protocol"
            )
        if not sound or framing is _CLOSE or status == 101 or request_method == b"CONNECT":
            keep_alive = False
        elif minor:
            keep_alive = not entry.close
        else:
            # RFC 9112 6.1: chunked in HTTP/1.0 is faulty; nothing may follow it.
            keep_alive = entry.keep_alive_1_0 and framing is not _CHUNKED
        onward = entry.fields
        if length >= 0:
            onward += b"Content-Length: %d\r\n" % length
        elif framing is _CHUNKED:
            onward += b"Transfer-Encoding: chunked\r\n"
        return ResponseHead(
            status,
            reason,
            minor,
            framing,
            length,
            keep_alive,
            upgrade,
            len(raw),
            b"HTTP/1.1 %b %b\r\n" % (line[2], reason),
            onward + self._via,
            len(entry.fields),
            self._via,
            entry.authenticates,
        )

    def _mended(self, raw: bytes) -> tuple[re.Match[bytes], bytes]:
        """Return the status line and the header block of a head that is not in good form."""
        text, block = mended(raw)
        line = STATUS_LINE.fullmatch(text)
        if line is None:
            raise BadResponse(ResponseFault.not_http, f"not an HTTP/1 status line: {raw[:80]!r}")
        if self._grammar.fullmatch(block) is None:
            if block.count(b"\r\n") > self._max_fields:
                raise BadResponse(
                    ResponseFault.too_large, f"more than {self._max_fields} header fields"
                )
            raise BadResponse(ResponseFault.bad_field, what_is_wrong(block))
        return line, block

    def _incomplete(self, buf: bytes | bytearray, start: int) -> ResponseHead | None:
        if not b"HTTP/1.".startswith(bytes(buf[start : start + 7])):
            raise BadResponse(
                ResponseFault.not_http,
                f"not an HTTP/1 response: {bytes(buf[start : start + 40])!r}",
            )
        if len(buf) - start > self._max_head:
            raise self._too_large()
        return None

    def _too_large(self) -> BadResponse:
        return BadResponse(
            ResponseFault.too_large, f"response head is larger than {self._max_head} bytes"
        )


def _framing(
    status: int, request_method: bytes, entry: ResponseFields
) -> tuple[Framing, int, bool]:
    """Return how the body ends, the Content-Length to tell the client, and whether that is sound.

    After a response that is not, its sender may send a body that is not due: nothing can be
    asked of it again. RFC 9112 6.3; its first rule comes before what the fields say.
    """
    if status < 200 or status == 204:
        # RFC 9110 8.6 and RFC 9112 6.1: neither field here; one that is here says nothing.
        unread = entry.coding or (entry.length is not None and not _NOTHING(entry.length))
        return _NONE, -1, not unread
    if status == 304 or request_method == b"HEAD":
        try:
            return _NONE, _body(entry)[1], True
        except BadResponse:
            return _NONE, -1, False
    if request_method == b"CONNECT" and status < 300:
        return _NONE, -1, True
    return *_body(entry), True


def _body(entry: ResponseFields) -> tuple[Framing, int]:
    """Return how the fields frame a body, and its length or -1. Raises BadResponse."""
    coding = entry.coding
    if coding:
        if entry.length is not None and coding == b"chunked":
            raise BadResponse(
                ResponseFault.length_and_coding,
                "Content-Length with Transfer-Encoding (RFC 9112 6.3)",
            )
        if coding != b"chunked":
            raise BadResponse(
                ResponseFault.unknown_coding,
                f"Transfer-Encoding is not chunked alone: {coding[:80]!r}",
            )
        return _CHUNKED, -1
    if entry.length is None:
        return _CLOSE, -1
    return _LENGTH, _content_length(entry.length)


def _content_length(value: bytes) -> int:
    """Return the length that is given; the same several times counts as one (RFC 9112 6.3)."""
    if b"," in value:
        first, *others = (length.strip(b" \t") for length in value.split(b","))
        if any(other != first for other in others):
            raise BadResponse(
                ResponseFault.bad_length, f"Content-Lengths that differ: {value[:80]!r}"
            )
        value = first
    if DIGITS.fullmatch(value) is None or (length := int(value)) > MAX_LENGTH:
        raise BadResponse(
            ResponseFault.bad_length,
            f"Content-Length is not a number below 2**63: {value[:80]!r}",
        )
    return length
