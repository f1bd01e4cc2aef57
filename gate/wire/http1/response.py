"""Parses response heads (RFC 9112 4-6).

A head that was seen before, status line and all, is found in a memo; the same head
answers many requests. A refusal is always 502: the upstream is wrong, not the client.
"""

from gate.wire.http1.diagnosis import bare_line_end
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.grammar import STATUS_LINE, header_block
from gate.wire.http1.memo import HeadMemo
from gate.wire.http1.message import PSEUDONYM, Framing, ResponseHead
from gate.wire.http1.response_fields import ResponseFields, parse_response_fields

VIA_LINE = b"Via: 1.1 " + PSEUDONYM + b"\r\n"

_NONE, _LENGTH, _CHUNKED, _CLOSE = Framing


class ResponseParser:
    """Parses response heads; one per worker, shared by all connections.

    Limits and memo are as for RequestParser, the limits larger.
    """

    __slots__ = ("_grammar", "_max_fields", "_max_head", "_memo")

    def __init__(
        self,
        max_head: int = 65536,
        max_fields: int = 256,
        memo_entries: int = 2048,
        memo_bytes: int = 1 << 20,
    ) -> None:
        self._max_head = max_head
        self._max_fields = max_fields
        self._grammar = header_block(max_fields)
        self._memo: HeadMemo[ResponseHead] = HeadMemo(memo_entries, memo_bytes)

    def parse(
        self,
        buf: bytes | bytearray,
        start: int = 0,
        request_method: bytes = b"GET",
        searched: int = 0,
    ) -> ResponseHead | None:
        """The response head at `start` of buf, or None when more bytes are needed.

        `request_method` is that of the request which this answers; `searched` is as
        for RequestParser.parse. Raises BadMessage(502).
        """
        end = buf.find(b"\r\n\r\n", searched - 3 if searched - 3 > start else start)
        if end < 0:
            return self._incomplete(buf, start, searched)
        raw = bytes(buf[start : end + 4])
        if request_method == b"HEAD" or request_method == b"CONNECT":
            # Rare, and framed by rules of their own: kept out of the memo.
            return self._parse(raw, request_method)
        head = self._memo.young.get(raw)
        if head is None:
            head = self._memo.old.get(raw) or self._parse(raw, request_method)
            self._memo.store(raw, head)
        return head

    def _parse(self, raw: bytes, request_method: bytes) -> ResponseHead:
        """Parses one whole head, with the empty line that ends it."""
        if len(raw) > self._max_head:
            raise self._too_large()
        line_end = raw.find(b"\r\n")
        line = STATUS_LINE.fullmatch(raw, 0, line_end)
        if line is None:
            bare = bare_line_end(raw[:line_end])
            raise BadMessage(502, bare or f"not an HTTP/1 status line: {raw[:80]!r}")
        minor = 0 if line[1] == b"0" else 1
        status = int(line[2])
        reason = line[3] or b""
        entry = parse_response_fields(raw[line_end:-4], self._grammar, self._max_fields)
        framing, length = _framing(status, minor, request_method, entry)
        upgrade = entry.upgrade if status == 101 else b""
        if status == 101 and not upgrade:
            raise BadMessage(502, "101 without an Upgrade field to name the protocol")
        if framing is _CLOSE or status == 101 or request_method == b"CONNECT":
            keep_alive = False
        else:
            keep_alive = not entry.close if minor else entry.keep_alive_1_0
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
            onward + VIA_LINE,
            len(entry.fields),
        )

    def _incomplete(self, buf: bytes | bytearray, start: int, searched: int) -> ResponseHead | None:
        bare = bare_line_end(buf, max(start, searched - 1))
        if bare:
            raise BadMessage(502, bare)
        if not b"HTTP/1.".startswith(bytes(buf[start : start + 7])):
            raise BadMessage(502, f"not an HTTP/1 response: {bytes(buf[start : start + 40])!r}")
        if len(buf) - start > self._max_head:
            raise self._too_large()
        return None

    def _too_large(self) -> BadMessage:
        return BadMessage(502, f"response head is larger than {self._max_head} bytes")


def _framing(
    status: int, minor: int, request_method: bytes, entry: ResponseFields
) -> tuple[Framing, int]:
    """How the body ends, and the Content-Length to tell the client (RFC 9112 6.3)."""
    if status < 200 or status == 204:
        # RFC 9110 8.6: no Content-Length here; one that is here says nothing.
        return _NONE, -1
    if status == 304 or request_method == b"HEAD":
        return _NONE, entry.length
    if request_method == b"CONNECT" and status < 300:
        return _NONE, -1
    if entry.chunked:
        if minor == 0:
            raise BadMessage(502, "Transfer-Encoding in an HTTP/1.0 response")
        return _CHUNKED, -1
    return (_CLOSE if entry.length < 0 else _LENGTH), entry.length
