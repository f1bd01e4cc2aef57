"""Where a message body ends: by its length, by chunks, or with the connection.

A chunked body is passed on as it came for as long as it is written as the gate would write it
itself (gate/wire/http1/chunked.py): a plain size, no extension, no trailers, CRLF. From the first
line that is anything else on (one that ends with LF alone must not reach a client so),
`gate.wire.http1.ChunkedBody` reads it; a line that is not all there is left behind, at most
MOST_HELD bytes of it, to be looked at again with what follows.
"""

from libc.stdint cimport int64_t, uint8_t

from gate.native.grammar cimport DIGIT, byte_classes

cdef const uint8_t* _classes = byte_classes()

cdef enum:
    CR = 13
    LF = 10
    ZERO = 48
    MOST_DIGITS = 15            # of a plain size


cdef void begin_body(Body* body, Framing framing, int64_t length) noexcept nogil:
    """Expect a body; `length` counts where it is framed by its length."""
    body.framing = framing
    body.left = length if framing == LENGTH else 0
    body.in_chunk = False


cdef inline int _hex_digit(uint8_t byte) noexcept nogil:
    """The value of a hexadecimal digit, -1 for another byte."""
    if _classes[byte] & DIGIT:
        return byte - 48
    byte |= 32
    return byte - 87 if 97 <= byte <= 102 else -1


cdef Progress _read_size(
    Body* body, const uint8_t* buf, Py_ssize_t size, Py_ssize_t* line
) noexcept nogil:
    """Read the size line that `buf` begins with; `line` is its length, 0 if it is not all there."""
    cdef Py_ssize_t at = 0
    cdef int64_t length = 0
    cdef int digit
    line[0] = 0
    if size == 0:
        return MORE
    if buf[0] == ZERO:              # the last chunk, without trailers
        for at in range(1, 5):
            if at == size:
                return MORE
            if buf[at] != (CR if at & 1 else LF):
                return ODD
        line[0] = 5
        return DONE
    while True:
        if at == size:
            return MORE
        digit = _hex_digit(buf[at])
        if digit < 0:
            break
        if at == MOST_DIGITS:
            return ODD
        length = length << 4 | digit
        at += 1
    if at == 0 or buf[at] != CR:
        return ODD
    if at + 1 == size:
        return MORE
    if buf[at + 1] != LF:
        return ODD
    line[0] = at + 2
    body.left = length
    body.in_chunk = True
    return MORE


cdef Progress _take_chunks(
    Body* body, const uint8_t* buf, Py_ssize_t size, Py_ssize_t* taken
) noexcept nogil:
    cdef Py_ssize_t at = 0, line = 0
    cdef Progress progress = MORE
    while at < size:
        if body.left:
            if body.left >= size - at:
                body.left -= size - at
                at = size
                break
            at += body.left
            body.left = 0
        if body.in_chunk:
            if buf[at] != CR:
                progress = ODD
                break
            if at + 1 == size:
                break
            if buf[at + 1] != LF:
                progress = ODD
                break
            at += 2
            body.in_chunk = False
        progress = _read_size(body, buf + at, size - at, &line)
        at += line
        if line == 0 or progress != MORE:
            break
    taken[0] = at
    return progress


cdef Progress take_body(
    Body* body, const uint8_t* buf, Py_ssize_t size, Py_ssize_t* taken
) noexcept nogil:
    """How much of `buf` belongs to the body and can be passed on as it is, and what comes after."""
    if body.framing == CHUNKED:
        return _take_chunks(body, buf, size, taken)
    taken[0] = 0
    if body.framing == NONE:
        return DONE
    if body.framing == CLOSE:
        taken[0] = size
        return MORE
    if body.left > size:
        taken[0] = size
        body.left -= size
        return MORE
    taken[0] = <Py_ssize_t>body.left
    body.left = 0
    return DONE


def walk(framing: int, length: int, portions: list[bytes], odd_chunks=None):
    """What comes of a body that comes in portions: (output, done), or None at an odd line.

    Portions are given as the engine gives them: what was left behind comes again in front. With
    `odd_chunks` a reader that it makes goes on at an odd line, as in the engine, from the portion
    that the line is in.
    """
    cdef Body body, before
    cdef Py_ssize_t taken = 0
    cdef Progress progress
    reader = None
    out, held = b"", b""
    begin_body(&body, <Framing>framing, length)
    for portion in portions:
        data = held + portion
        if reader is None:
            before = body
            progress = take_body(&body, data, len(data), &taken)
            if progress == ODD:
                if odd_chunks is None:
                    return None
                reader = odd_chunks(bool(before.in_chunk), before.left)
                held = b""
        if reader is not None:
            written, _, done = reader.feed(data)
            out += bytes(written)
            if done:
                return out, True
            continue
        out += data[:taken]
        held = data[taken:]
        if progress == DONE:
            return out, True
        if len(held) > MOST_HELD:
            raise AssertionError(f"{len(held)} bytes left behind")
    return out, False
