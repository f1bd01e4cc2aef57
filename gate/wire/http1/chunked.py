"""The chunked transfer coding (RFC 9112 7.1), read strictly and written anew.

Output is what the gate would write itself for the same chunks. Where the input is
already exactly that (a plain size, no extension), it is passed on as a slice of the
input, and a run of such chunks as one slice, so that bulk data is not copied. Where
it is not (extensions, leading zeros, trailers), the gate's own form is put in its
place. Only an incomplete line is ever held back, and its length is bounded.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from gate.wire.http1.diagnosis import what_is_wrong
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.grammar import FIELD_TEXT, HEADER_BLOCK, TCHAR

# A size line that is already in the gate's own form.
_PLAIN = re.compile(rb"([1-9A-Fa-f][0-9A-Fa-f]{0,14}+)\r\n")
# RFC 9112 7.1.1: BWS around ";" and "=", values are tokens or quoted strings.
_QUOTED = rb"\"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\" + FIELD_TEXT + rb")*+\""
_EXTENSION = (
    rb"[ \t]*+;[ \t]*+" + TCHAR + rb"++(?:[ \t]*+=[ \t]*+(?:" + TCHAR + rb"++|" + _QUOTED + rb"))?+"
)
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16}+)(?:" + _EXTENSION + rb")*+\r\n")
_LINE = re.compile(rb"[^\n]*+\n")

# RFC 9110 6.5.1: fields for framing, routing, authentication, request modifiers,
# response control and content handling mean nothing, or harm, after the body.
_NOT_A_TRAILER = frozenset(
    b"age authorization cache-control connection content-encoding content-length content-range "
    b"content-type content_length cookie date expect expires forwarded host http2-settings "
    b"if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive location "
    b"max-forwards pragma proxy-authenticate proxy-authorization proxy-connection range "
    b"retry-after set-cookie te trailer transfer-encoding transfer_encoding upgrade vary via "
    b"warning www-authenticate".split()
)


@dataclass(slots=True, frozen=True)
class ChunkLimits:
    """Bounds on what a chunked body may carry beside its data."""

    line: int = 512
    """Bytes in one size line with its extensions."""
    trailer_bytes: int = 8192
    trailers: int = 32
    status: int = 400
    """Status of the BadMessage: 400 for requests, 502 for responses."""


REQUEST_CHUNKS = ChunkLimits()
RESPONSE_CHUNKS = ChunkLimits(status=502)


class _State(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()
    DONE = auto()


class ChunkedBody:
    """Reads a chunked body.

    With `rechunk` the output is chunked again, trailers kept; without it the output
    is the bare data, for a client that is older than HTTP/1.1.
    """

    __slots__ = ("_held", "_left", "_limits", "_rechunk", "_state", "_trailer_size", "_trailers")

    def __init__(self, limits: ChunkLimits = REQUEST_CHUNKS, rechunk: bool = True) -> None:
        self._limits = limits
        self._rechunk = rechunk
        self._state = _State.SIZE
        self._left = 0
        self._held = b""
        self._trailers: list[bytes] = []
        self._trailer_size = 0

    def feed(self, data: bytes | memoryview) -> tuple[bytes | memoryview, int, bool]:
        """Takes in data; see body.py for the result. Raises BadMessage."""
        size = len(data)
        view = memoryview(data)
        out: list[bytes | memoryview] = []
        pos = 0
        kept = 0  # data[kept:pos] goes out as it is, if rechunk
        rechunk = self._rechunk
        while pos < size and self._state is not _State.DONE:
            if self._state is _State.DATA:
                take = min(self._left, size - pos)
                if not rechunk:
                    out.append(view[pos : pos + take])
                pos += take
                self._left -= take
                if self._left == 0:
                    self._state = _State.DATA_END
                continue
            if self._state is _State.DATA_END and not self._held and data[pos : pos + 2] == b"\r\n":
                pos += 2
                self._state = _State.SIZE
                continue
            if self._state is _State.SIZE and not self._held:
                plain = _PLAIN.match(data, pos)
                if plain is not None:
                    self._left = int(plain[1], 16)
                    self._state = _State.DATA
                    pos = plain.end()
                    continue
            # Anything else: a line to be taken apart, and perhaps not yet complete.
            if rechunk and kept < pos:
                out.append(view[kept:pos])
            pos, line = self._take_line(data, pos)
            kept = pos
            if line is not None:
                written = self._read_line(line)
                if rechunk and written:
                    out.append(written)
        if rechunk and kept < pos:
            out.append(view[kept:pos])
        done = self._state is _State.DONE
        if len(out) == 1:
            return out[0], pos, done
        return b"".join(out), pos, done

    def _take_line(self, data: bytes | memoryview, pos: int) -> tuple[int, bytes | None]:
        """A whole line from data, or what there is of it put aside."""
        found = _LINE.match(data, pos)
        end = len(data) if found is None else found.end()
        limit = self._limits.line
        if self._state is _State.TRAILERS:
            limit = self._limits.trailer_bytes
        if len(self._held) + end - pos > limit + 2:
            raise self._bad(f"chunk size or trailer line is longer than {limit} bytes")
        line = self._held + bytes(data[pos:end])
        if found is None:
            if b"\r" in line[:-1]:
                raise self._bad("bare CR in a chunked body: lines end with CRLF")
            self._held = line
            return end, None
        self._held = b""
        if not line.endswith(b"\r\n"):
            raise self._bad("bare LF in a chunked body: lines end with CRLF")
        return end, line

    def _read_line(self, line: bytes) -> bytes:
        """Moves on by one complete line; returns what to write for it."""
        if self._state is _State.SIZE:
            return self._read_size(line)
        if self._state is _State.DATA_END:
            if line != b"\r\n":
                raise self._bad("chunk data is longer than its size says")
            self._state = _State.SIZE
            return line
        if line == b"\r\n":
            self._state = _State.DONE
            return b"".join((b"0\r\n", *self._trailers, b"\r\n"))
        self._read_trailer(line)
        return b""

    def _read_size(self, line: bytes) -> bytes:
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            raise self._bad(f"bad chunk size line: {line[:60]!r}")
        self._left = int(found[1], 16)
        if self._left == 0:
            # The last chunk is written with the trailers, when the body is whole.
            self._state = _State.TRAILERS
            return b""
        self._state = _State.DATA
        return b"%x\r\n" % self._left

    def _read_trailer(self, line: bytes) -> None:
        self._trailer_size += len(line)
        if self._trailer_size > self._limits.trailer_bytes:
            raise self._bad(f"trailers are larger than {self._limits.trailer_bytes} bytes")
        block = b"\r\n" + line[:-2]
        if HEADER_BLOCK.fullmatch(block) is None:
            raise self._bad("trailers: " + what_is_wrong(block))
        if len(self._trailers) >= self._limits.trailers:
            raise self._bad(f"more than {self._limits.trailers} trailers")
        name = line.partition(b":")[0].lower()
        if name not in _NOT_A_TRAILER and not name.startswith((b"x-forwarded-", b"x_forwarded_")):
            self._trailers.append(line)

    def _bad(self, detail: str) -> BadMessage:
        return BadMessage(self._limits.status, detail)
