from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef enum:
    MOST_SPANS = 24
    MOST_CLAIMS = 5

cdef enum Forwarding:           # gate.wire.http1.Forwarding, in its order
    APPEND
    REPLACE
    OFF

cdef enum Claim:                # what a request may say already of who is in front of it
    CLAIMED_ADDRESS             # X-Forwarded-For
    CLAIMED_FORWARDED           # Forwarded
    CLAIMED_PROTO               # X-Forwarded-Proto, and so on
    CLAIMED_HOST
    CLAIMED_PORT

cdef enum Wish:                 # what an Accept names
    JSON = 1
    HTML = 2                    # of any kind
    PAGES = 4                   # text/html, as browsers do for what they show

cdef struct Span:
    uint32_t at
    uint32_t size

cdef struct RequestHead:
    Py_ssize_t size             # of the whole head, its empty line included
    Span method
    Span target
    Span host                   # as it came
    int spans
    Span fields[MOST_SPANS]     # runs of whole field lines to be passed on, in order
    uint32_t claims             # one bit for each Claim that is there
    Span claimed[MOST_CLAIMS]
    int64_t length              # Content-Length, -1 without one
    bint close                  # the client wants no other exchange on this connection

cdef struct HeadLimits:
    Py_ssize_t head             # bytes of the whole head
    Py_ssize_t line             # bytes of the request line
    int fields                  # field lines
    Forwarding forwarding       # what becomes of a client's word on who is in front
    bint via                    # the gate adds itself to Via

cdef int wishes(const uint8_t* buf, const RequestHead* head) noexcept nogil

cdef bint read_request(
    const uint8_t* buf, Py_ssize_t size, const HeadLimits* limits, RequestHead* head
) noexcept nogil
