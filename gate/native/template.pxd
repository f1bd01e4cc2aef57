from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

cdef enum Slot:
    NOTHING = 0                 # behind the last piece
    METHOD_AND_TARGET = 1       # with the space between
    HOST = 2
    FIELDS = 3                  # whole lines
    LENGTH_VALUE = 4
    CLIENT = 5                  # the client's address
    STATUS_AND_REASON = 6
    DATE = 7
    NAME = 8
    PORT = 9                    # of the host, or the protocol's own
    NODE = 10                   # the client's address, as Forwarded has it
    CLAIMED = 11                # what the request says itself: a slot for each Claim
    PATH = 16                   # of a request, without its query
    SLOT_KINDS = 17

cdef enum:
    MOST_PIECES = 13
    MOST_DIGITS = 20            # of a number

cdef class Template:
    cdef int count
    cdef Slot slots[MOST_PIECES]
    cdef const uint8_t* literals[MOST_PIECES]
    cdef Py_ssize_t sizes[MOST_PIECES]
    cdef readonly Py_ssize_t fixed      # bytes of all literals
    cdef readonly bint has_node
    cdef list _owned

cdef inline uint8_t* put(uint8_t* at, const void* data, Py_ssize_t size) noexcept nogil:
    memcpy(at, data, size)
    return at + size

cdef uint8_t* put_number(uint8_t* at, int64_t number) noexcept nogil
