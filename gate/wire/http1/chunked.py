"""The chunked transfer coding (RFC 9112 7.1), read strictly and written anew.

Output is what the gate would write itself for the same chunks. Where the input is
already exactly that (a plain size, no extension), it is passed on as a slice of the
input, and a run of such chunks as one slice, so that bulk data is not copied. Where it
is not (extensions, leading zeros, trailers, in responses also LF alone at the end of a
line), the gate's own form is put in its place. Only an incomplete line is ever held
back, and its length is bounded.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from gate.wire.http1.diagnosis import what_is_wrong
from gate.wire.http1.errors import BadMessage, BadResponse, ResponseFault
from gate.wire.http1.grammar import FIELD_TEXT, MAX_LENGTH, TCHAR, header_block

# What may stand between two chunks' data, or before the first, where it is already in the
# gate's own form: a plain size, or the last chunk without trailers (no group then).
_PLAIN_SIZE = rb"(?:([1-9A-Fa-f][0-9A-Fa-f]{0,14}+)|0\r\n)\r\n"
_FIRST = re.compile(_PLAIN_SIZE)
_NEXT = re.compile(rb"\r\n" + _PLAIN_SIZE)
# RFC 9112 7.1.1: BWS around ";" and "=", values are tokens or quoted strings.
_QUOTED = rb"\"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\" + FIELD_TEXT + rb")*+\""
_EXTENSION = (
    rb"[ \t]*+;[ \t]*+" + TCHAR + rb"++(?:[ \t]*+=[ \t]*+(?:" + TCHAR + rb"++|" + _QUOTED + rb"))?+"
)
_HEX = rb"([0-9A-Fa-f]{1,16}+)"
_SIZE_LINE = re.compile(_HEX + rb"(?:" + _EXTENSION + rb")*+\r\n")
# Old origins write all sizes equally long, or a ";" without an extension: whatever follows the
# size is dropped anyway.
_LAX_SIZE_LINE = re.compile(_HEX + rb"[ \t]*+(?:;" + FIELD_TEXT + rb"*+)?+\r\n")
_LINE = re.compile(rb"[^\n]*+\n")
_TRAILER = header_block(1)

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
    extension_bytes: int = 8192
    """Bytes of extensions, padding included, in the whole body; they are read and dropped."""
    trailer_bytes: int = 8192
    trailers: int = 32
    response: bool = False
    """Of a response, what follows a size may have any form, lines may end with LF alone (RFC 9112
    2.2: where data ends, the sizes say), and what is refused is a BadResponse; of a request it is
    BadMessage(400)."""

    @property
    def line_ends(self) -> tuple[bytes, ...]:
        """What may follow a chunk's data, in whole or so far."""
        return (b"\r", b"\r\n", b"\n") if self.response else (b"\r", b"\r\n")


REQUEST_CHUNKS = ChunkLimits()
# An origin that pads its sizes pads them all, however long the body is.
RESPONSE_CHUNKS = ChunkLimits(response=True, extension_bytes=MAX_LENGTH)


class _State(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()
    DONE = auto()


# Members as globals: on the path of each chunk, one lookup rather than two.
_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = _State


class ChunkedBody:
    """Reads a chunked body.

    With `rechunk` the output is chunked again, trailers kept; without it the output
    is the bare data, for a client that is older than HTTP/1.1.
    """

    __slots__ = (
        "_extensions",
        "_held",
        "_left",
        "_limits",
        "_rechunk",
        "_state",
        "_trailer_size",
        "_trailers",
    )

    def __init__(self, limits: ChunkLimits = REQUEST_CHUNKS, rechunk: bool = True) -> None:
        self._limits = limits
        self._rechunk = rechunk
        self._state = _SIZE
        self._left = 0
        """Bytes of the present chunk's data that are still to come."""
        self._held = bytearray()
        """Start of a line whose end has not come yet."""
        self._extensions = 0
        self._trailers: list[bytes] = []
        self._trailer_size = 0

    def feed(self, data: bytes | memoryview) -> tuple[bytes | memoryview, int, bool]:
        """Take in data; see body.py for the result. Raises BadMessage."""
        size = len(data)
        state, left, rechunk = self._state, self._left, self._rechunk
        if state is _DATA and left > size:
            self._left = left - size
            return data, size, False
        out: list[bytes | memoryview] = []
        pos = 0
        kept = 0  # data[kept:pos] goes out as it is, when chunked again
        while pos < size and state is not _DONE:
            if state is _DATA:
                end = pos + left
                found = _NEXT.match(data, end) if end < size else None
                if not rechunk:
                    out.append(memoryview(data)[pos:end])
                if found is None:
                    pos = min(end, size)
                    left = end - pos
                    if left == 0:
                        state = _DATA_END
                    continue
            else:
                found = _FIRST.match(data, pos) if state is _SIZE and not self._held else None
            if found is None:
                # A line to be taken apart, and perhaps not yet complete.
                if rechunk and kept < pos:
                    out.append(memoryview(data)[kept:pos])
                self._state = state
                pos, written = self._take_line(data, pos)
                kept = pos
                if rechunk and written:
                    out.append(written)
                state, left = self._state, self._left
                continue
            pos = found.end()
            digits = found[1]
            if digits is None:
                state = _DONE
            else:
                state = _DATA
                left = int(digits, 16)
        self._state, self._left = state, left
        done = state is _DONE
        if rechunk and kept < pos:
            if pos == size and kept == 0:
                return data, pos, done
            out.append(memoryview(data)[kept:pos])
        if len(out) == 1:
            return out[0], pos, done
        return b"".join(out), pos, done

    def _take_line(self, data: bytes | memoryview, pos: int) -> tuple[int, bytes]:
        """Read a line that ends in data, or puts aside what there is of it.

        Returns where it stopped, and what to write for the line.
        """
        found = _LINE.match(data, pos)
        end = len(data) if found is None else found.end()
        held = self._held
        size = len(held) + end - pos
        if self._state is _DATA_END:
            if size > 2 or bytes(held) + data[pos:end] not in self._limits.line_ends:
                raise self._bad("chunk data is not followed by CRLF: wrong size?")
        elif self._state is _SIZE:
            if size > self._limits.line + 2:
                raise self._bad(f"chunk size line is longer than {self._limits.line} bytes")
        elif self._trailer_size + size > self._limits.trailer_bytes + 2:
            raise self._bad(f"trailers are larger than {self._limits.trailer_bytes} bytes")
        cr_held = held.endswith(b"\r")
        held += data[pos:end]
        if found is None:
            if cr_held or held.find(b"\r", len(held) - (end - pos), len(held) - 1) >= 0:
                raise self._bad("bare CR in a chunked body: lines end with CRLF")
            return end, b""
        if not held.endswith(b"\r\n"):
            if not self._limits.response:
                raise self._bad("bare LF in a chunked body: lines end with CRLF")
            if held.find(b"\r") >= 0:
                raise self._bad("bare CR in a chunked body: lines end with CRLF")
            held[-1:] = b"\r\n"
        line = bytes(held)
        held.clear()
        return end, self._read_line(line)

    def _read_line(self, line: bytes) -> bytes:
        """Moves on by one complete line; returns what to write for it."""
        if self._state is _SIZE:
            return self._read_size(line)
        if self._state is _DATA_END:
            self._state = _SIZE
            return line
        if line == b"\r\n":
            self._state = _DONE
            return b"".join((b"0\r\n", *self._trailers, b"\r\n"))
        self._read_trailer(line)
        return b""

    def _read_size(self, line: bytes) -> bytes:
        found = (_LAX_SIZE_LINE if self._limits.response else _SIZE_LINE).fullmatch(line)
        if found is None:
            raise self._bad(f"bad chunk size line: {line[:60]!r}")
        self._extensions += len(line) - len(found[1]) - 2
        if self._extensions > self._limits.extension_bytes:
            raise self._bad(
                f"chunk extensions are larger than {self._limits.extension_bytes} bytes in all"
            )
        self._left = int(found[1], 16)
        if self._left > MAX_LENGTH:
            raise self._bad(f"chunk size is not below 2**63: {line[:20]!r}")
        if self._left == 0:
            # The last chunk is written with the trailers, when the body is whole.
            self._state = _TRAILERS
            return b""
        self._state = _DATA
        return found[1].lstrip(b"0") + b"\r\n"

    def _read_trailer(self, line: bytes) -> None:
        self._trailer_size += len(line)
        block = b"\r\n" + line[:-2]
        if _TRAILER.fullmatch(block) is None:
            raise self._bad("trailers: " + what_is_wrong(block))
        if len(self._trailers) >= self._limits.trailers:
            raise self._bad(f"more than {self._limits.trailers} trailers")
        name = line.partition(b":")[0].lower()
        if name not in _NOT_A_TRAILER and not name.startswith((b"x-forwarded-", b"x_forwarded_")):
            self._trailers.append(line)

    def _bad(self, detail: str) -> BadMessage:
        if self._limits.response:
            return BadResponse(ResponseFault.bad_chunk, detail)
        return BadMessage(400, detail)
