"""Response heads as most origins send them.

What is taken: HTTP/1.0 or 1.1, a status other than 101 with a reason (perhaps an empty one) behind
a space, well-formed fields, at most one Connection of `keep-alive` or `close`, at most one
Content-Length, `Transfer-Encoding: chunked` without one. What may be mended (folded lines, bare
line feeds, equal lengths) is declined, as is a head that is not all there: it is read by
`gate.wire.http1.ResponseParser`, which takes everything that is taken here and says the same of it.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp

from gate.native.body cimport CHUNKED, CLOSE, LENGTH, NONE, Framing
from gate.native.grammar cimport BLANK, DIGIT, TEXT, TOKEN, byte_classes, same_word
from gate.native.request_head cimport OFF, HeadLimits

cdef const uint8_t* _classes = byte_classes()

cdef enum:
    COLON = 58
    CR = 13
    LF = 10
    SPACE = 32
    STATUS_AT = 9           # behind "HTTP/1.1 "
    MOST_DIGITS = 18

cdef enum Name:
    OTHER
    CONNECTION
    CONTENT_LENGTH
    TRANSFER_ENCODING
    KEEP_ALIVE
    FOREIGN                 # one that only the Python parser knows what to do with


cdef inline Name _name(const uint8_t* name, Py_ssize_t size) noexcept nogil:
    """What a field of this name means to the gate."""
    cdef uint8_t first = name[0] | 32
    if first == b"a":           # it may authenticate the connection, as WWW-Authenticate may
        if size == 13 and same_word(name, b"authorization", 13):
            return FOREIGN
    elif first == b"c":
        if size == 10 and same_word(name, b"connection", 10):
            return CONNECTION
        if size == 14 and same_word(name, b"content-length", 14):
            return CONTENT_LENGTH
    elif first == b"t":
        if size == 17 and same_word(name, b"transfer-encoding", 17):
            return TRANSFER_ENCODING
        if size == 2 and same_word(name, b"te", 2):
            return FOREIGN
    elif first == b"k":
        if size == 10 and same_word(name, b"keep-alive", 10):
            return KEEP_ALIVE
    elif first == b"p":
        if size > 6 and same_word(name, b"proxy-", 6):
            return FOREIGN
    elif first == b"w":
        if size == 16 and same_word(name, b"www-authenticate", 16):
            return FOREIGN
    elif first == b"u":
        if size == 7 and same_word(name, b"upgrade", 7):
            return FOREIGN
    return OTHER


cdef bint _read_line(const uint8_t* buf, Py_ssize_t size, ResponseHead* head) noexcept nogil:
    """The status line; `head.size` is where it ends."""
    cdef Py_ssize_t at
    if size < STATUS_AT + 6 or memcmp(buf, b"HTTP/1.", 7) != 0 or buf[8] != SPACE:
        return False
    if buf[7] != 48 and buf[7] != 49:
        return False
    for at in range(STATUS_AT, STATUS_AT + 3):
        if not _classes[buf[at]] & DIGIT:
            return False
    head.status = (buf[9] - 48) * 100 + (buf[10] - 48) * 10 + buf[11] - 48
    if head.status < 100 or head.status == 101 or buf[12] != SPACE:
        return False
    at = STATUS_AT + 4
    while at < size and _classes[buf[at]] & TEXT:
        at += 1
    if size - at < 2 or buf[at] != CR or buf[at + 1] != LF:
        return False
    head.line.at = STATUS_AT
    head.line.size = <uint32_t>(at - STATUS_AT)
    head.size = at + 2
    return True


cdef bint _settle(ResponseHead* head, bint to_head, bint chunked, bint old) noexcept nogil:
    """Decide how the body ends, and what length the client is told (RFC 9112 6.3)."""
    if head.length >= 0 and chunked:
        return False
    if head.status < 200 or head.status == 204:
        head.framing = NONE
        if chunked or head.length > 0:  # a body may follow that is not due
            head.keep_alive = False
        head.length = -1
    elif head.status == 304 or to_head:
        head.framing = NONE
    elif chunked:
        head.framing = CHUNKED
        return not old
    elif head.length >= 0:
        head.framing = LENGTH
    else:
        head.framing = CLOSE
        head.keep_alive = False
    return True


cdef bint read_response(
    const uint8_t* buf, Py_ssize_t size, bint to_head, const HeadLimits* limits, ResponseHead* head
) noexcept nogil:
    """Read the head that `buf` begins with, the answer to a HEAD if `to_head`; False: declined."""
    cdef Py_ssize_t at, name, name_size, value, end
    cdef int count = 0
    cdef Name kind
    cdef bint in_run = False, connection = False, chunked = False, old
    if not _read_line(buf, size, head):
        return False
    old = buf[7] == 48
    head.spans = 0
    head.length = -1
    head.keep_alive = not old
    at = head.size
    while True:
        if size - at < 2:
            return False
        if buf[at] == CR:
            if buf[at + 1] != LF:
                return False
            head.size = at + 2
            if head.size > limits.head or count > limits.fields:
                return False
            return _settle(head, to_head, chunked, old)
        count += 1
        name = at
        while at < size and _classes[buf[at]] & TOKEN:
            at += 1
        name_size = at - name
        if name_size == 0 or at >= size or buf[at] != COLON:
            return False
        at += 1
        value = at
        while at < size and _classes[buf[at]] & TEXT:
            at += 1
        if size - at < 2 or buf[at] != CR or buf[at + 1] != LF:
            return False
        end = at
        at += 2
        kind = _name(buf + name, name_size)
        if kind == OTHER:
            if in_run:
                head.fields[head.spans - 1].size += <uint32_t>(at - name)
                continue
            if head.spans == MOST_SPANS:
                return False
            head.fields[head.spans].at = <uint32_t>name
            head.fields[head.spans].size = <uint32_t>(at - name)
            head.spans += 1
            in_run = True
            continue
        in_run = False
        while value < end and _classes[buf[value]] & BLANK:
            value += 1
        if kind == CONNECTION:
            if connection:
                return False
            connection = True
            if end - value == 5 and same_word(buf + value, b"close", 5):
                head.keep_alive = False
            elif end - value == 10 and same_word(buf + value, b"keep-alive", 10):
                head.keep_alive = True
            else:
                return False
        elif kind == CONTENT_LENGTH:
            if head.length >= 0 or value == end or end - value > MOST_DIGITS:
                return False
            head.length = 0
            while value < end:
                if not _classes[buf[value]] & DIGIT:
                    return False
                head.length = head.length * 10 + (buf[value] - 48)
                value += 1
        elif kind == TRANSFER_ENCODING:
            if chunked or end - value != 7 or not same_word(buf + value, b"chunked", 7):
                return False
            chunked = True
        elif kind == FOREIGN:
            return False


def read(data: bytes, to_head: bool = False, max_head: int = 65536, max_fields: int = 256):
    """Status, line, fields, framing, length, keep-alive and size of the head; None: declined."""
    cdef ResponseHead head
    cdef HeadLimits limits = HeadLimits(max_head, 0, max_fields, OFF, False)
    if not read_response(data, len(data), to_head, &limits, &head):
        return None
    fields = [
        data[head.fields[i].at : head.fields[i].at + head.fields[i].size] for i in range(head.spans)
    ]
    return (
        head.status,
        data[head.line.at : head.line.at + head.line.size],
        b"".join(fields),
        <int>head.framing,
        head.length,
        bool(head.keep_alive),
        head.size,
    )
