"""The ClientHello as nearly everybody sends it: one message in one record in one segment.

Takes what `gate.wire.tls.parse_client_hello` takes in its first branch, and says the same of it.
Anything else it declines: a hello in pieces, an odd list of names, lengths that disagree, an
extension that comes twice. Then the Python reader looks, waits or refuses, and says why.

`asks_again` looks at the answer, as gate/wire/hello_retry.py does.

Every length is compared with what is left before it is used, so that no read goes past `size`.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

cdef const uint8_t* RETRY_RANDOM = (
    b"\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91"
    b"\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"
)

cdef enum:
    HANDSHAKE = 22
    CLIENT_HELLO = 1
    SHORTEST = 45           # see gate/wire/tls.py
    MAX_FRAGMENT = 16384
    SERVER_NAME = 0
    ENCRYPTED_CLIENT_HELLO = 0xFE0D
    MOST_HIGH = 48          # extensions with a type of 64 or more that are looked through
    ALERT = 21
    RECORD_HEADER = 5
    RANDOM_AT = 11          # see gate/wire/hello_retry.py
    RANDOM_END = 43


cdef inline int _uint16(const uint8_t* at) noexcept nogil:
    return at[0] << 8 | at[1]


cdef bint read_hello(const uint8_t* buf, Py_ssize_t size, Hello* hello) noexcept nogil:
    """Read the hello at `buf`; False is to decline."""
    cdef Py_ssize_t at, end, length, i
    cdef int kind, high_count = 0
    cdef uint64_t low = 0
    cdef int high[MOST_HIGH]
    if size < 9 + SHORTEST - 4 or buf[0] != HANDSHAKE or buf[1] != 3 or buf[5] != CLIENT_HELLO:
        return False
    length = _uint16(buf + 3)
    end = 5 + length
    if length < SHORTEST or length > MAX_FRAGMENT or size < end:
        return False
    if (buf[6] << 16 | buf[7] << 8 | buf[8]) != length - 4 or buf[9] != 3:
        return False
    at = 9 + 34                                     # client_version, random
    if buf[at] > 32:                                # session id
        return False
    at += 1 + buf[at]
    if at + 2 > end:
        return False
    length = _uint16(buf + at)                      # cipher suites
    at += 2 + length
    if length == 0 or length & 1 or at >= end:
        return False
    length = buf[at]                                # compression methods
    at += 1 + length
    if length == 0 or at > end:
        return False
    hello.end = end
    hello.name = -1
    hello.size = 0
    hello.ech = False
    if at == end:
        return True
    if at + 2 > end or at + 2 + _uint16(buf + at) != end:
        return False
    at += 2
    while at < end:
        if at + 4 > end:
            return False
        kind = _uint16(buf + at)
        length = _uint16(buf + at + 2)
        at += 4
        if at + length > end:
            return False
        if kind < 64:
            if low >> kind & 1:
                return False
            low |= <uint64_t>1 << kind
        else:
            for i in range(high_count):
                if high[i] == kind:
                    return False
            if high_count == MOST_HIGH:
                return False
            high[high_count] = kind
            high_count += 1
        if kind == SERVER_NAME:                     # a list of one host_name, RFC 6066 3
            if length < 5 or _uint16(buf + at) != length - 2:
                return False
            if buf[at + 2] != 0 or _uint16(buf + at + 3) != length - 5:
                return False
            hello.name = at + 5
            hello.size = length - 5
        elif kind == ENCRYPTED_CLIENT_HELLO:
            hello.ech = True
        at += length
    return True


cdef int asks_again(const uint8_t* answer, Py_ssize_t size) noexcept nogil:
    """Whether what a server says first is a HelloRetryRequest; -1 if it is too little to tell."""
    cdef Py_ssize_t at = 0
    while at < size and answer[at] == ALERT:
        if size < at + RECORD_HEADER:
            return -1
        at += RECORD_HEADER + _uint16(answer + at + 3)
    if size <= at:
        return -1
    if answer[at] != HANDSHAKE:
        return 0
    if size < at + RANDOM_END:
        return -1
    return memcmp(answer + at + RANDOM_AT, RETRY_RANDOM, RANDOM_END - RANDOM_AT) == 0


def asks(answer: bytes):
    """What `gate.wire.hello_retry.asks_again` says."""
    cdef int said = asks_again(answer, len(answer))
    return None if said < 0 else bool(said)


def read(data: bytes):
    """The server name (None without the extension) and whether there is ECH; None: declined."""
    cdef Hello hello
    if not read_hello(data, len(data), &hello):
        return None
    return (None if hello.name < 0 else data[hello.name : hello.name + hello.size], bool(hello.ech))
