"""Request heads as most clients send them: origin form, HTTP/1.1, one Host, known framing.

What is taken: a method other than CONNECT and TRACE, a target that begins with `/`, well-formed
fields, one Host of letters, digits, hyphens and dots with an optional port, at most one Connection
of `keep-alive` or `close`, at most one Content-Length, and each of the fields that tell who is in
front (X-Forwarded-*, Forwarded) at most once, if they are appended to. Any other field that means
something to the gate (gate/wire/http1/forwarding.py has the list) is declined, as is a head that is
not all there, and is read by `gate.wire.http1.RequestParser`, which takes everything that is taken
here and says the same of it.

Nothing is copied: a head says where in the buffer its parts are. Fields that go on as they came are
given as runs of lines.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memchr, memcmp

from gate.native.grammar cimport BLANK, DIGIT, LDH, TARGET, TEXT, TOKEN, byte_classes, same_word

cdef const uint8_t* _classes = byte_classes()

cdef enum:
    COLON = 58
    CR = 13
    LF = 10
    SLASH = 47
    SPACE = 32
    LINE_END = 11           # bytes of " HTTP/1.1\r\n"
    MOST_DIGITS = 18        # of a Content-Length; with more it might overflow
    MOST_PORT_DIGITS = 5


cdef enum Meaning:
    PASSED                  # goes on as it came
    DECLINED
    DROPPED
    CLAIMS                  # with the Claim added


cdef inline bint _joins(uint8_t byte) noexcept nogil:
    """Whether CGI and its like cannot tell this byte of a name from a hyphen."""
    return byte == b"-" or byte == b"_"


cdef inline int _claim(const uint8_t* name, Py_ssize_t size) noexcept nogil:
    """What a field says whose name begins with X-Forwarded-, when such fields are appended to."""
    cdef int claim
    if size == 15 and same_word(name + 12, b"for", 3):
        claim = CLAIMED_ADDRESS
    elif size == 17 and same_word(name + 12, b"proto", 5):
        claim = CLAIMED_PROTO
    elif size == 16 and same_word(name + 12, b"host", 4):
        claim = CLAIMED_HOST
    elif size == 16 and same_word(name + 12, b"port", 4):
        claim = CLAIMED_PORT
    else:
        return PASSED
    # An origin may take the form with an underscore for the field.
    return CLAIMS + claim if name[1] == b"-" and name[11] == b"-" else DROPPED


cdef inline int _meaning(
    const uint8_t* name, Py_ssize_t size, const HeadLimits* limits
) noexcept nogil:
    """What becomes of a field, by its name; Host, Connection and Content-Length are read elsewhere."""
    cdef bint replaces = limits.forwarding == REPLACE
    cdef uint8_t first = name[0] | 32
    if first == b"c":
        if size == 14 and same_word(name, b"content", 7) and same_word(name + 8, b"length", 6):
            return DECLINED
        if replaces and size == 9 and same_word(name, b"client", 6) and _joins(name[6]):
            return DROPPED if same_word(name + 7, b"ip", 2) else PASSED
        return PASSED
    if first == b"t":
        if size == 17 and same_word(name, b"transfer", 8) and same_word(name + 9, b"encoding", 8):
            return DECLINED
        if (
            replaces and size == 14 and same_word(name, b"true", 4) and _joins(name[4])
            and same_word(name + 5, b"client", 6) and _joins(name[11])
            and same_word(name + 12, b"ip", 2)
        ):
            return DROPPED
        return DECLINED if size == 2 and same_word(name, b"te", 2) else PASSED
    if first == b"u":
        return DECLINED if size == 7 and same_word(name, b"upgrade", 7) else PASSED
    if first == b"e":
        return DECLINED if size == 6 and same_word(name, b"expect", 6) else PASSED
    if first == b"v":
        return DECLINED if limits.via and size == 3 and same_word(name, b"via", 3) else PASSED
    if first == b"w":           # it may authenticate the connection
        return DECLINED if size == 16 and same_word(name, b"www-authenticate", 16) else PASSED
    if first == b"k":
        return DECLINED if size == 10 and same_word(name, b"keep-alive", 10) else PASSED
    if first == b"p":
        return DECLINED if size > 6 and same_word(name, b"proxy", 5) else PASSED
    if first == b"h":
        return DECLINED if size == 14 and same_word(name, b"http2", 5) else PASSED
    if limits.forwarding == OFF:
        return PASSED
    if first == b"f":
        if size != 9 or not same_word(name, b"forwarded", 9):
            return PASSED
        return DROPPED if replaces else CLAIMS + CLAIMED_FORWARDED
    if first == b"x" and size > 8 and _joins(name[1]):
        if size > 11 and same_word(name + 2, b"forwarded", 9) and _joins(name[11]):
            return DROPPED if replaces else _claim(name, size)
        if (
            replaces and size == 9 and same_word(name + 2, b"real", 4) and _joins(name[6])
            and same_word(name + 7, b"ip", 2)
        ):
            return DROPPED
    return PASSED


cdef inline bint _authenticates(
    const uint8_t* buf, Py_ssize_t name, Py_ssize_t size, Py_ssize_t value, Py_ssize_t end
) noexcept nogil:
    """Whether a field may authenticate the connection: Authorization with NTLM or Negotiate."""
    if size != 13 or not same_word(buf + name, b"authorization", 13):
        return False
    while value < end and _classes[buf[value]] & BLANK:
        value += 1
    return value < end and buf[value] | 32 == b"n"


cdef inline Py_ssize_t _host_size(
    const uint8_t* buf, Py_ssize_t at, Py_ssize_t end
) noexcept nogil:
    """Bytes of the host and port that buf[at:end] is, 0 if it is not a plain one."""
    cdef Py_ssize_t i = at
    while i < end and _classes[buf[i]] & LDH:
        i += 1
    if i == at:
        return 0
    if i < end:
        if buf[i] != COLON or end - i > 1 + MOST_PORT_DIGITS:
            return 0
        i += 1
        if end - i == MOST_PORT_DIGITS and buf[i] > 53:     # above 59999: perhaps above 65535
            return 0
        while i < end and _classes[buf[i]] & DIGIT:
            i += 1
    return end - at if i == end else 0


cdef inline int64_t _length(const uint8_t* buf, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """The number that buf[at:end] is, -1 if it is not a plain one."""
    cdef int64_t length = 0
    if at == end or end - at > MOST_DIGITS:
        return -1
    while at < end:
        if not _classes[buf[at]] & DIGIT:
            return -1
        length = length * 10 + (buf[at] - 48)
        at += 1
    return length


cdef bint _read_line(
    const uint8_t* buf, Py_ssize_t size, const HeadLimits* limits, RequestHead* head
) noexcept nogil:
    """The request line; `head.size` is where it ends."""
    cdef Py_ssize_t at = 0
    while at < size and _classes[buf[at]] & TOKEN:
        at += 1
    if at == 0 or at + 1 >= size or buf[at] != SPACE or buf[at + 1] != SLASH:
        return False
    if (at == 7 and memcmp(buf, b"CONNECT", 7) == 0) or (at == 5 and memcmp(buf, b"TRACE", 5) == 0):
        return False
    head.method.at = 0
    head.method.size = <uint32_t>at
    at += 1
    head.target.at = <uint32_t>at
    while at < size and _classes[buf[at]] & TARGET:
        at += 1
    head.target.size = <uint32_t>(at - head.target.at)
    if size - at < LINE_END or memcmp(buf + at, b" HTTP/1.1\r\n", LINE_END) != 0:
        return False
    head.size = at + LINE_END
    return head.size - 2 <= limits.line


cdef bint read_request(
    const uint8_t* buf, Py_ssize_t size, const HeadLimits* limits, RequestHead* head
) noexcept nogil:
    """Read the head that `buf` begins with; False is to decline."""
    cdef Py_ssize_t at, name, name_size, value, end
    cdef int count = 0, meaning
    cdef uint32_t seen = 0
    cdef bint in_run = False, named = False, connection = False
    if not _read_line(buf, size, limits, head):
        return False
    head.spans = 0
    head.claims = 0
    head.length = -1
    head.close = False
    at = head.size
    while True:
        if size - at < 2:
            return False
        if buf[at] == CR:
            if buf[at + 1] != LF:
                return False
            head.size = at + 2
            return named and head.size <= limits.head and count <= limits.fields
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
        if name_size == 4 and same_word(buf + name, b"host", 4):
            while value < end and _classes[buf[value]] & BLANK:
                value += 1
            if named or not _host_size(buf, value, end):
                return False
            named = True
            head.host.at = <uint32_t>value
            head.host.size = <uint32_t>(end - value)
            in_run = False
        elif name_size == 10 and same_word(buf + name, b"connection", 10):
            while value < end and _classes[buf[value]] & BLANK:
                value += 1
            if connection:
                return False
            connection = True
            if end - value == 5 and same_word(buf + value, b"close", 5):
                head.close = True
            elif not (end - value == 10 and same_word(buf + value, b"keep-alive", 10)):
                return False
            in_run = False
        elif name_size == 14 and same_word(buf + name, b"content-length", 14):
            while value < end and _classes[buf[value]] & BLANK:
                value += 1
            if head.length >= 0:
                return False
            head.length = _length(buf, value, end)
            if head.length < 0:
                return False
            in_run = False
        else:
            meaning = _meaning(buf + name, name_size, limits)
            if meaning == DECLINED or (
                meaning == PASSED and _authenticates(buf, name, name_size, value, end)
            ):
                return False
            if meaning == DROPPED:
                in_run = False
            elif meaning >= CLAIMS:
                in_run = False
                if seen >> (meaning - CLAIMS) & 1:      # their values would have to be joined
                    return False
                seen |= 1 << (meaning - CLAIMS)
                _take_claim(buf, value, end, meaning - CLAIMS, head)
            elif in_run:
                head.fields[head.spans - 1].size += <uint32_t>(at - name)
            else:
                if head.spans == MOST_SPANS:
                    return False
                head.fields[head.spans].at = <uint32_t>name
                head.fields[head.spans].size = <uint32_t>(at - name)
                head.spans += 1
                in_run = True


cdef inline void _take_claim(
    const uint8_t* buf, Py_ssize_t at, Py_ssize_t end, int claim, RequestHead* head
) noexcept nogil:
    """Note what a field claims, if it is not empty."""
    while at < end and _classes[buf[at]] & BLANK:
        at += 1
    while at < end and _classes[buf[end - 1]] & BLANK:
        end -= 1
    if at < end:
        head.claims |= 1 << claim
        head.claimed[claim].at = <uint32_t>at
        head.claimed[claim].size = <uint32_t>(end - at)


cdef bint _names(
    const uint8_t* buf, Py_ssize_t at, Py_ssize_t end, const char* word, Py_ssize_t size
) noexcept nogil:
    """Whether a lower-case word of that size is somewhere in buf[at:end], in any case."""
    while at + size <= end:
        if same_word(buf + at, word, size):
            return True
        at += 1
    return False


cdef int wishes(const uint8_t* buf, const RequestHead* head) noexcept nogil:
    """What the Accept of a head names, a bit each Wish."""
    cdef Py_ssize_t at, line, end
    cdef const uint8_t* found
    cdef int i, named = 0
    for i in range(head.spans):
        at = head.fields[i].at
        end = at + head.fields[i].size
        while at < end:
            line = at
            found = <const uint8_t*>memchr(buf + at, LF, end - at)
            at = end if found == NULL else found - buf + 1
            if at - line > 7 and buf[line + 6] == COLON and same_word(buf + line, b"accept", 6):
                if _names(buf, line + 7, at, b"json", 4):
                    named |= JSON
                if _names(buf, line + 7, at, b"text/html", 9):
                    named |= HTML | PAGES
                elif _names(buf, line + 7, at, b"html", 4):
                    named |= HTML
    return named


def accepts(data: bytes):
    """What the Accept of a head names, a bit each Wish; None: declined."""
    cdef RequestHead head
    cdef HeadLimits limits = HeadLimits(16384, 8192, 128, APPEND, False)
    if not read_request(data, len(data), &limits, &head):
        return None
    return wishes(data, &head)


def read(
    data: bytes, max_head: int = 16384, max_line: int = 8192, max_fields: int = 128,
    forwarding: int = 0, via: bool = False,
):
    """Method, target, host, fields, claims, length, close and size of the head; None: declined.

    `forwarding` is the place in gate.wire.http1.Forwarding, and claims are by Claim.
    """
    cdef RequestHead head
    cdef HeadLimits limits = HeadLimits(max_head, max_line, max_fields, forwarding, via)
    if not read_request(data, len(data), &limits, &head):
        return None
    fields = [
        data[head.fields[i].at : head.fields[i].at + head.fields[i].size] for i in range(head.spans)
    ]
    claims = [
        data[head.claimed[i].at : head.claimed[i].at + head.claimed[i].size]
        if head.claims >> i & 1 else b""
        for i in range(<int>MOST_CLAIMS)
    ]
    return (
        data[: head.method.size],
        data[head.target.at : head.target.at + head.target.size],
        data[head.host.at : head.host.at + head.host.size],
        b"".join(fields),
        tuple(claims),
        head.length,
        bool(head.close),
        head.size,
    )
