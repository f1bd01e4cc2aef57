"""Parses request heads (RFC 9112 2-3, RFC 9110 7).

The head is split in two: the request line, parsed each time, and the header block,
which is looked up in a memo first (see memo.py) and parsed by request_fields.py if
it is new. What depends on both is decided here.
"""

import re

from gate.wire.http1.diagnosis import bare_line_end, what_is_wrong
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.forwarding import DEFAULT_RULES, ForwardingRules
from gate.wire.http1.grammar import ORIGIN_LINE, request_block
from gate.wire.http1.memo import HeadMemo
from gate.wire.http1.message import HTTP_0_9, NO_CLAIMS, Framing, RequestHead
from gate.wire.http1.request_fields import RequestFields, onward_fields, parse_request_fields
from gate.wire.http1.request_line import RequestLine, parse_request_line, same_authority

_END = b"\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)++")


class RequestParser:
    """Parses request heads; one per worker, shared by all connections.

    Limits: `max_head` bytes for the whole head, `max_line` bytes for the request
    line, `max_fields` field lines (a Host and a `Connection: keep-alive` right after the
    request line are not counted). The memo holds `memo_entries` blocks in each of
    its two generations, `memo_bytes` of them. `rules` say what the upstream is told of the
    client.
    """

    __slots__ = ("_grammar", "_max_fields", "_max_head", "_max_line", "_memo", "rules")

    def __init__(
        self,
        max_head: int = 16384,
        max_line: int = 8192,
        max_fields: int = 128,
        memo_entries: int = 2048,
        memo_bytes: int = 1 << 20,
        rules: ForwardingRules = DEFAULT_RULES,
    ) -> None:
        self.rules = rules
        self._max_head = max_head
        self._max_line = max_line
        self._max_fields = max_fields
        self._grammar = request_block(max_fields)
        self._memo: HeadMemo[RequestFields] = HeadMemo(memo_entries, memo_bytes)

    @property
    def bounds(self) -> tuple[int, int, int]:
        """The limits: bytes of a head, bytes of a request line, field lines."""
        return self._max_head, self._max_line, self._max_fields

    def parse(
        self, buf: bytes | bytearray, start: int = 0, searched: int = 0
    ) -> RequestHead | None:
        """Return the request head at `start` of buf, or None when more bytes are needed.

        After None, the caller may pass the length that buf had then as `searched`,
        so that a head which arrives byte by byte is not scanned from its beginning
        each time.

        Raises BadMessage as soon as the bytes at hand can no longer become an
        acceptable head.
        """
        if searched > start:
            return self._resume(buf, start, searched)
        found = ORIGIN_LINE.match(buf, start)
        if found is None:
            return self._odd(buf, start, searched)
        line_end = found.end()
        # One request and nothing after it, most likely: then what follows the line is the
        # header block and its end, and a known or a good block needs no search for that end.
        rest = bytes(buf[line_end : start + self._max_head])
        entry = self._memo.young.get(rest)
        if entry is None and (not rest.endswith(_END) or (entry := self._known(rest)) is None):
            end = rest.find(_END)
            if end < 0:
                return self._incomplete(buf, start, searched)
            rest = rest[: end + 4]
            entry = self._entry(rest)
        consumed = line_end - start + len(rest)
        if line_end - start > self._max_line:
            raise self._line_too_long()
        method, target, old = found.groups()
        if old or not entry.plain:
            return self._combine(RequestLine(method, target, 0 if old else 1), entry, consumed)
        return RequestHead(
            method,
            target,
            1,
            entry.host,
            entry.framing,
            entry.length,
            entry.keep_alive,
            entry.expect_continue,
            b"",
            entry.claims,
            entry.via,
            consumed,
            entry.onward,
            entry.fields_size,
            entry.closing,
            entry.authenticates,
        )

    def _resume(self, buf: bytes | bytearray, start: int, searched: int) -> RequestHead | None:
        """As parse(), where the head was not complete before."""
        if buf.startswith(b"\r\n", start):
            return self._after_empty_lines(buf, start, searched)
        if buf.find(_END, max(start, searched - 3)) < 0:
            return self._incomplete(buf, start, searched)
        return self.parse(buf, start)

    def _odd(self, buf: bytes | bytearray, start: int, searched: int) -> RequestHead | None:
        """As parse(), where no request line in common form is at `start`."""
        if buf.startswith(b"\r\n", start):
            return self._after_empty_lines(buf, start, searched)
        end = buf.find(_END, start)
        if end < 0:
            return self._incomplete(buf, start, searched)
        end += 4
        line_end = buf.find(b"\r\n", start)
        line = self._line(buf, start, line_end)
        if line.minor == HTTP_0_9:
            return self._simple_request(line, line_end + 2 - start)
        if end - start > self._max_head:
            raise self._too_large()
        return self._combine(line, self._entry(bytes(buf[line_end:end])), end - start)

    def _line(self, buf: bytes | bytearray, start: int, line_end: int) -> RequestLine:
        """Return the request line that ends with the CRLF at line_end."""
        _refuse_bare_line_end(bytes(buf[start : line_end + 2]))
        if line_end - start > self._max_line:
            raise self._line_too_long()
        return parse_request_line(bytes(buf[start:line_end]))

    def _entry(self, rest: bytes) -> RequestFields:
        """Return the fields in rest, which is a header block and the empty line after it."""
        entry = self._memo.young.get(rest) or self._known(rest)
        if entry is None:
            block = rest[:-4]
            if block.count(b"\r\n") > self._max_fields:
                raise BadMessage(431, f"more than {self._max_fields} header fields")
            raise BadMessage(400, what_is_wrong(block))
        return entry

    def _known(self, rest: bytes) -> RequestFields | None:
        """As _entry, for a rest that is not in the young memo; None if it is not well formed."""
        entry = self._memo.old.get(rest)
        if entry is None:
            found = self._grammar.fullmatch(rest, 0, len(rest) - 4)
            if found is None:
                return None
            entry = parse_request_fields(found, self.rules)
        self._memo.store(rest, entry)
        return entry

    def _incomplete(self, buf: bytes | bytearray, start: int, searched: int) -> RequestHead | None:
        """Refuse what can be refused already; recognises HTTP/0.9."""
        size = len(buf) - start
        line_end = buf.find(b"\r", start, start + self._max_line + 1)
        if line_end > start and searched < line_end + 2 <= len(buf):
            # The first line is complete now, and was not last time.
            line = self._line(buf, start, line_end)
            if line.minor == HTTP_0_9:
                return self._simple_request(line, line_end + 2 - start)
        # A CR that ended the buffer last time is looked at again.
        _refuse_bare_line_end(buf, max(start, searched - 1))
        if line_end < 0 and size > self._max_line:
            raise self._line_too_long()
        if size > self._max_head:
            raise self._too_large()
        return None

    def _after_empty_lines(
        self, buf: bytes | bytearray, start: int, searched: int
    ) -> RequestHead | None:
        """As parse(), where an empty line is at `start`: such lines are skipped (RFC 9112 2.2).

        They are a part of the head, and of what it may take.
        """
        found = _EMPTY_LINES.match(buf, start)
        first = start if found is None else found.end()
        head = self.parse(buf, first, searched) if first < len(buf) else None
        taken = (len(buf) if head is None else first + head.consumed) - start
        if taken > self._max_head:
            raise self._too_large()
        if head is not None:
            head.consumed = taken
        return head

    def _combine(self, line: RequestLine, entry: RequestFields, consumed: int) -> RequestHead:
        """Return a head from a line and fields that may depend on each other."""
        method, minor = line.method, line.minor
        host, keep_alive, expect = entry.host, entry.keep_alive, entry.expect_continue
        upgrade, onward = b"", entry.onward
        if not entry.plain or minor != 1 or line.authority is not None:
            host = _host(line, entry)
            if minor != 1:
                if entry.framing is Framing.CHUNKED:
                    raise BadMessage(400, "Transfer-Encoding on HTTP/1.0 (RFC 9112 6.1)")
                keep_alive = entry.keep_alive_1_0
                # RFC 9110 10.1.1: an expectation in HTTP/1.0 is ignored.
                expect = False
            elif method == b"GET" and entry.framing is not Framing.CHUNKED and entry.length == 0:
                # With a body in front of the switch, the two sides could disagree on where
                # HTTP ends.
                upgrade = entry.upgrade
            if upgrade or minor != 1:
                onward = onward_fields(entry, self.rules, minor, expect, upgrade)
        return RequestHead(
            method,
            line.target,
            minor,
            host,
            entry.framing,
            entry.length,
            keep_alive,
            expect,
            upgrade,
            entry.claims,
            entry.via,
            consumed,
            onward,
            entry.fields_size,
            entry.closing if host == entry.host else self.rules.closing(entry.claims, host or b""),
            entry.authenticates,
        )

    def _simple_request(self, line: RequestLine, consumed: int) -> RequestHead:
        return RequestHead(
            line.method,
            line.target,
            HTTP_0_9,
            None,
            Framing.NONE,
            0,
            False,
            False,
            b"",
            NO_CLAIMS,
            b"",
            consumed,
            onward_fields(RequestFields(), self.rules, HTTP_0_9, False, b""),
            0,
            self.rules.closing(NO_CLAIMS, b""),
            False,
        )

    def _too_large(self) -> BadMessage:
        return BadMessage(431, f"request head is larger than {self._max_head} bytes")

    def _line_too_long(self) -> BadMessage:
        return BadMessage(414, f"request line is longer than {self._max_line} bytes")


def _refuse_bare_line_end(text: bytes | bytearray, start: int = 0) -> None:
    bare = bare_line_end(text, start)
    if bare:
        raise BadMessage(400, bare)


def _host(line: RequestLine, entry: RequestFields) -> bytes | None:
    """Return the authority asked for (RFC 9112 3.2 and 3.2.2)."""
    if not entry.host and line.minor == 1:
        if entry.host is None:
            raise BadMessage(400, "HTTP/1.1 request without a Host field")
        raise BadMessage(400, "Host field is empty")
    host = entry.host or None
    if line.authority is None:
        return host
    if host is not None and not same_authority(host, line.authority, line.scheme):
        raise BadMessage(
            400, f"Host {host[:80]!r} disagrees with the target's {line.authority[:80]!r}"
        )
    return line.authority
