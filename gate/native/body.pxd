from libc.stdint cimport int64_t, uint8_t

cdef enum Framing:              # the values of gate.wire.http1.Framing
    NONE = 0
    LENGTH = 1
    CHUNKED = 2
    CLOSE = 3

cdef enum Progress:
    MORE                        # the body goes on behind what was taken
    DONE                        # it has ended with what was taken
    ODD                         # what follows is for ChunkedBody to read

cdef enum:
    MOST_HELD = 19              # bytes of a plain line that are not all there

cdef struct Body:
    Framing framing
    int64_t left                # bytes that are still to come, of the body or of its present chunk
    bint in_chunk               # the data of a chunk, or the line end behind it, comes next

cdef void begin_body(Body* body, Framing framing, int64_t length) noexcept nogil
cdef Progress take_body(
    Body* body, const uint8_t* buf, Py_ssize_t size, Py_ssize_t* taken
) noexcept nogil
