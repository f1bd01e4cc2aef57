from libc.stdint cimport int64_t, uint8_t

from gate.native.body cimport Framing
from gate.native.request_head cimport MOST_SPANS, HeadLimits, Span

cdef struct ResponseHead:
    Py_ssize_t size             # of the whole head, its empty line included
    int status
    Span line                   # status and reason, from the status on, without the line end
    int spans
    Span fields[MOST_SPANS]     # runs of whole field lines to be passed on, in order
    int64_t length              # Content-Length to tell the client, -1 for none
    Framing framing             # how its body ends
    bint keep_alive             # the upstream connection can carry another exchange after it

cdef bint read_response(
    const uint8_t* buf, Py_ssize_t size, bint to_head, const HeadLimits* limits, ResponseHead* head
) noexcept nogil
