"""Parses response heads (RFC 9112 4-6).

Built like request.py. A refusal is always 502: the upstream is wrong, not the client.
"""

import re
from dataclasses import dataclass

from gate.wire.http1.connection import connection_options, without_listed
from gate.wire.http1.diagnosis import bare_line_end, what_is_wrong
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.grammar import DIGITS, HEADER_BLOCK, STATUS_LINE
from gate.wire.http1.memo import BlockMemo
from gate.wire.http1.message import Framing, ResponseHead

_SPECIAL = re.compile(
    rb"\r\n((?i:connection|content-length|transfer-encoding|upgrade|te|keep-alive"
    rb"|proxy-connection|proxy-authenticate|proxy-authorization)):[ \t]*+([^\r]*+)"
)
MAX_LENGTH = 2**63 - 1
_LINES_KEPT = 256


@dataclass(slots=True, eq=False)
class ResponseFields:
    """What a response's header block says, whatever its status line."""

    fields: bytes = b""
    length: int = -1
    chunked: bool = False
    close: bool = False
    keep_alive_1_0: bool = False
    upgrade: bytes = b""
    onward: bytes = b""
    """Fields with framing, for a response that has a body."""


class ResponseParser:
    """Parses response heads; one per worker, shared by all connections."""

    __slots__ = ("_lines", "_max_fields", "_max_head", "_memo")

    def __init__(
        self,
        max_head: int = 65536,
        max_fields: int = 256,
        memo_entries: int = 2048,
        memo_bytes: int = 4 << 20,
    ) -> None:
        self._max_head = max_head
        self._max_fields = max_fields
        self._memo: BlockMemo[ResponseFields] = BlockMemo(memo_entries, memo_bytes)
        self._lines: dict[bytes, tuple[int, bytes, int]] = {}

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
        end = buf.find(b"\r\n\r\n", max(start, searched - 3) if searched else start)
        if end < 0:
            return self._incomplete(buf, start, searched)
        if end + 4 - start > self._max_head:
            raise self._too_large()
        line_end = buf.find(b"\r\n", start)
        raw_line = bytes(buf[start:line_end])
        line = self._lines.get(raw_line)
        if line is None:
            line = self._status_line(raw_line)
        block = bytes(buf[line_end:end])
        entry = self._memo.young.get(block)
        if entry is None:
            entry = self._fields(block)
        status, reason, minor = line
        length = entry.length
        onward = entry.onward
        upgrade = b""
        keep_alive = entry.keep_alive_1_0 if minor == 0 else not entry.close
        if request_method == b"HEAD" or status == 304:
            framing = Framing.NONE
            if entry.chunked:
                onward = entry.fields
        elif status < 200 or status == 204:
            # RFC 9110 8.6: no Content-Length here; one that is here says nothing.
            framing = Framing.NONE
            length = -1
            onward = entry.fields
            if status == 101:
                upgrade = entry.upgrade
                keep_alive = False
                if not upgrade:
                    raise BadMessage(502, "101 without an Upgrade field to name the protocol")
        elif request_method == b"CONNECT" and status < 300:
            framing = Framing.NONE
            keep_alive = False
        elif entry.chunked:
            if minor == 0:
                raise BadMessage(502, "Transfer-Encoding in an HTTP/1.0 response")
            framing = Framing.CHUNKED
        elif length >= 0:
            framing = Framing.LENGTH
        else:
            framing = Framing.CLOSE
            keep_alive = False
        return ResponseHead(
            status,
            reason,
            minor,
            entry.fields,
            framing,
            length,
            keep_alive,
            upgrade,
            end + 4 - start,
            onward,
        )

    def _status_line(self, line: bytes) -> tuple[int, bytes, int]:
        found = STATUS_LINE.fullmatch(line)
        if found is None:
            bare = bare_line_end(line)
            raise BadMessage(502, bare or f"not an HTTP/1 status line: {line[:80]!r}")
        minor, status, reason = found.groups()
        result = int(status), reason or b"", int(minor)
        if len(self._lines) < _LINES_KEPT and len(line) < 64:
            self._lines[line] = result
        return result

    def _fields(self, block: bytes) -> ResponseFields:
        entry = self._memo.recall(block)
        if entry is None:
            entry = parse_response_fields(block, self._max_fields)
            self._memo.store(block, entry)
        return entry

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


def parse_response_fields(block: bytes, max_fields: int) -> ResponseFields:
    """Parses a header block (see grammar.py for its shape). Raises BadMessage(502)."""
    if HEADER_BLOCK.fullmatch(block) is None:
        raise BadMessage(502, what_is_wrong(block))
    if block.count(b"\r\n") > max_fields:
        raise BadMessage(502, f"more than {max_fields} header fields")
    result = ResponseFields()
    parts = _SPECIAL.split(block)
    values: dict[bytes, bytes] = {}
    for index in range(1, len(parts), 3):
        name = parts[index].lower()
        value = parts[index + 1].rstrip(b" \t")
        values[name] = values[name] + b"," + value if name in values else value
    rest = b"".join(parts[::3]) if len(parts) > 1 else block
    connection = values.get(b"connection")
    if connection is not None:
        options = connection_options(connection, 502)
        rest = without_listed(rest, options)
        result.close = b"close" in options
        result.keep_alive_1_0 = b"keep-alive" in options and not result.close
    result.fields = result.onward = rest[2:] + b"\r\n" if rest else b""
    coding = values.get(b"transfer-encoding")
    length = values.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise BadMessage(502, "Content-Length with Transfer-Encoding (RFC 9112 6.3)")
        if coding.lower() != b"chunked":
            raise BadMessage(502, f"Transfer-Encoding is not chunked alone: {coding[:80]!r}")
        result.chunked = True
        result.onward += b"Transfer-Encoding: chunked\r\n"
    elif length is not None:
        result.length = _content_length(length)
        result.onward += b"Content-Length: %d\r\n" % result.length
    result.upgrade = values.get(b"upgrade", b"").lower()
    return result


def _content_length(value: bytes) -> int:
    """One length; identical repeated ones count as one (RFC 9112 6.3, case 5)."""
    first, *others = (length.strip(b" \t") for length in value.split(b","))
    if DIGITS.fullmatch(first) is None or int(first) > MAX_LENGTH:
        raise BadMessage(502, f"Content-Length is not a number below 2**63: {value[:80]!r}")
    if any(other != first for other in others):
        raise BadMessage(502, f"Content-Lengths that differ: {value[:80]!r}")
    return int(first)
