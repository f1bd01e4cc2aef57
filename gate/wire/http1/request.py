"""Parses request heads (RFC 9112 2-3, RFC 9110 7).

The head is split in two: the request line, parsed each time, and the header block,
which is looked up in a memo first (see memo.py) and parsed by request_fields.py if
it is new. What depends on both is decided here.
"""

from gate.wire.http1.diagnosis import bare_line_end
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.grammar import ORIGIN_LINE
from gate.wire.http1.memo import BlockMemo
from gate.wire.http1.message import HTTP_0_9, Framing, RequestHead
from gate.wire.http1.request_fields import RequestFields, onward_fields, parse_request_fields
from gate.wire.http1.request_line import RequestLine, parse_request_line, same_authority

_SIMPLE_ONWARD = onward_fields(RequestFields(), HTTP_0_9, False, b"")


class RequestParser:
    """Parses request heads; one per worker, shared by all connections.

    Limits: `max_head` bytes for the whole head, `max_line` bytes for the request
    line, `max_fields` field lines.
    """

    __slots__ = ("_max_fields", "_max_head", "_max_line", "_memo")

    def __init__(
        self,
        max_head: int = 16384,
        max_line: int = 8192,
        max_fields: int = 128,
        memo_entries: int = 2048,
        memo_bytes: int = 4 << 20,
    ) -> None:
        self._max_head = max_head
        self._max_line = max_line
        self._max_fields = max_fields
        self._memo: BlockMemo[RequestFields] = BlockMemo(memo_entries, memo_bytes)

    def parse(
        self, buf: bytes | bytearray, start: int = 0, searched: int = 0
    ) -> RequestHead | None:
        """The request head at `start` of buf, or None when more bytes are needed.

        After None, the caller may pass the length that buf had then as `searched`,
        so that a head which arrives byte by byte is not scanned from its beginning
        each time.

        Raises BadMessage as soon as the bytes at hand can no longer become an
        acceptable head.
        """
        end = buf.find(b"\r\n\r\n", max(start, searched - 3) if searched else start)
        if end < 0:
            return self._incomplete(buf, start, searched)
        line_end = buf.find(b"\r\n", start)
        if line_end == start:
            return self._after_empty_line(buf, start, searched)
        if end + 4 - start > self._max_head:
            raise self._too_large()
        line = ORIGIN_LINE.fullmatch(buf, start, line_end)
        if line is None:
            return self._odd_line(buf, start, line_end, end)
        block = bytes(buf[line_end:end])
        entry = self._memo.young.get(block)
        if entry is None:
            entry = self._fields(block)
        method, target, minor = line.groups()
        if minor == b"1" and entry.plain and line_end - start <= self._max_line:
            # The common case: nothing in the fields depends on the request line.
            if method == b"TRACE" or method == b"CONNECT":
                raise _method_refused(method)
            return RequestHead(
                method,
                target,
                1,
                entry.host,
                entry.fields,
                entry.framing,
                entry.length,
                entry.keep_alive,
                entry.expect_continue,
                b"",
                entry.forwarded_for,
                entry.via,
                end + 4 - start,
                entry.onward,
            )
        return self._combine(
            RequestLine(method, target, 1 if minor == b"1" else 0), entry, start, line_end, end
        )

    def _fields(self, block: bytes) -> RequestFields:
        entry = self._memo.recall(block)
        if entry is None:
            entry = parse_request_fields(block, self._max_fields)
            self._memo.store(block, entry)
        return entry

    def _combine(
        self, line: RequestLine, entry: RequestFields, start: int, line_end: int, end: int
    ) -> RequestHead:
        """A head from a line and fields that may depend on each other."""
        if line_end - start > self._max_line:
            raise self._line_too_long()
        method, minor = line.method, line.minor
        if method in (b"TRACE", b"CONNECT"):
            raise _method_refused(method)
        host = entry.host or None
        if minor == 1 and host is None:
            if entry.host is None:
                raise BadMessage(400, "HTTP/1.1 request without a Host field")
            raise BadMessage(400, "Host field is empty")
        if line.authority is not None:
            if host is not None and not same_authority(host, line.authority, line.scheme):
                raise BadMessage(
                    400, f"Host {host[:80]!r} disagrees with the target's {line.authority[:80]!r}"
                )
            host = line.authority
        if minor == 0 and entry.framing is Framing.CHUNKED:
            raise BadMessage(400, "Transfer-Encoding on HTTP/1.0 (RFC 9112 6.1)")
        upgrade = b""
        if minor == 1 and method == b"GET" and entry.length == 0:
            # A body in front of the switch would be read by one side only.
            upgrade = entry.upgrade if entry.framing is not Framing.CHUNKED else b""
        expect = entry.expect_continue and minor == 1
        return RequestHead(
            method,
            line.target,
            minor,
            host,
            entry.fields,
            entry.framing,
            entry.length,
            entry.keep_alive if minor == 1 else entry.keep_alive_1_0,
            expect,
            upgrade,
            entry.forwarded_for,
            entry.via,
            end + 4 - start,
            onward_fields(entry, minor, expect, upgrade),
        )

    def _odd_line(self, buf: bytes | bytearray, start: int, line_end: int, end: int) -> RequestHead:
        """A complete head whose request line is not plain origin form."""
        bare = bare_line_end(bytes(buf[start : end + 4]))
        if bare:
            raise BadMessage(400, bare)
        if line_end - start > self._max_line:
            raise self._line_too_long()
        line = parse_request_line(bytes(buf[start:line_end]))
        if line.minor == HTTP_0_9:
            return _simple_request(line, line_end + 2 - start)
        entry = self._fields(bytes(buf[line_end:end]))
        return self._combine(line, entry, start, line_end, end)

    def _incomplete(self, buf: bytes | bytearray, start: int, searched: int) -> RequestHead | None:
        """Refuses what can be refused already; recognises HTTP/0.9."""
        # A CR that ended the buffer last time is looked at again.
        bare = bare_line_end(buf, max(start, searched - 1))
        if bare:
            raise BadMessage(400, bare)
        length = len(buf) - start
        if searched - start <= self._max_line:
            # The first line was perhaps not complete last time.
            line_end = buf.find(b"\r\n", start, start + self._max_line + 2)
            if line_end == start:
                if length > 2:
                    return self._after_empty_line(buf, start, searched)
            elif line_end > 0:
                line = parse_request_line(bytes(buf[start:line_end]))
                if line.minor == HTTP_0_9:
                    return _simple_request(line, line_end + 2 - start)
            elif length > self._max_line + 1:
                raise self._line_too_long()
        if length > self._max_head:
            raise self._too_large()
        return None

    def _after_empty_line(
        self, buf: bytes | bytearray, start: int, searched: int
    ) -> RequestHead | None:
        """Skips the one empty line that RFC 9112 2.2 asks servers to tolerate."""
        if buf[start + 2 : start + 4] == b"\r\n":
            raise BadMessage(400, "more than one empty line before the request line")
        head = self.parse(buf, start + 2, max(searched, start + 2) if searched else 0)
        if head is not None:
            head.consumed += 2
        return head

    def _too_large(self) -> BadMessage:
        return BadMessage(431, f"request head is larger than {self._max_head} bytes")

    def _line_too_long(self) -> BadMessage:
        return BadMessage(414, f"request line is longer than {self._max_line} bytes")


def _method_refused(method: bytes) -> BadMessage:
    return BadMessage(405, f"method {method.decode()} is not allowed")


def _simple_request(line: RequestLine, consumed: int) -> RequestHead:
    return RequestHead(
        line.method,
        line.target,
        HTTP_0_9,
        None,
        b"",
        Framing.NONE,
        0,
        False,
        False,
        b"",
        b"",
        b"",
        consumed,
        _SIMPLE_ONWARD,
    )
