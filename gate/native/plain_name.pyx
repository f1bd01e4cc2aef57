"""Hosts that are nothing but plain: what `gate.names.plain_name` takes, and the same of it."""

from libc.stdint cimport uint8_t

cdef enum:
    DOT = 46
    HYPHEN = 45
    COLON = 58
    MOST_PORT = 65535
    MOST_PORT_DIGITS = 5


cdef Py_ssize_t read_plain_name(
    const uint8_t* host, Py_ssize_t size, uint8_t* name
) noexcept nogil:
    """Write the canonical name of `host` to `name` (LONGEST bytes); its size, 0 for any other host.

    Runs of letters and digits joined by single dots or by hyphens, a dot behind them perhaps, then
    perhaps a port; the last label does not begin with a digit, for it may be a number then.
    """
    cdef Py_ssize_t at = 0, label = 0, end
    cdef int port = 0
    cdef uint8_t byte
    cdef bint joined = True         # a letter or digit must come next
    while at < size:
        byte = host[at]
        if 65 <= byte <= 90:
            byte |= 32
        if 97 <= byte <= 122 or 48 <= byte <= 57:
            joined = False
        elif not joined and (byte == DOT or byte == HYPHEN):
            joined = True
        elif byte == HYPHEN and at and name[at - 1] == HYPHEN:
            pass
        else:
            break
        if at == LONGEST:
            if byte == DOT:         # the one behind the name
                joined = False
                break
            return 0
        name[at] = byte
        at += 1
    end = at
    if joined and end and name[end - 1] == DOT:
        end -= 1                    # the one behind the name
    elif joined:
        return 0
    elif at < size and host[at] == DOT:
        at += 1
    if end == 0:
        return 0
    label = end
    while label and name[label - 1] != DOT:
        label -= 1
    if 48 <= name[label] <= 57:
        return 0
    if at == size:
        return end
    if host[at] != COLON or size - at > 1 + MOST_PORT_DIGITS:
        return 0
    for at in range(at + 1, size):
        if not 48 <= host[at] <= 57:
            return 0
        port = port * 10 + host[at] - 48
    return end if port <= MOST_PORT else 0


def read(host: bytes):
    """The canonical name; None: declined."""
    cdef uint8_t name[LONGEST]
    cdef Py_ssize_t size = read_plain_name(host, len(host), name)
    return name[:size].decode("ascii") if size else None
