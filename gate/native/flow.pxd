from libc.stdint cimport int64_t, uint8_t

from gate.native.pipes cimport Pipe

cdef enum Moved:
    AGAIN                   # something was moved, and there may be more to read at once
    STARVED                 # the source has nothing more for now
    BLOCKED                 # the sink takes no more for now
    ENDED                   # the source has ended, or the limit is reached; the sink has it all
    SOURCE_BROKE
    SINK_BROKE

cdef struct Flow:
    int source
    int sink
    int64_t limit           # bytes still to be read from the source; -1: until it ends
    int64_t moved           # bytes read
    int64_t dry_at          # how much was moved when a splice last found nothing
    uint8_t* held           # what waits for the sink, outside of any pipe
    int held_at
    int held_size
    Pipe pipe
    uint8_t bulk            # 0 or 1, as the next
    uint8_t ended

cdef void open_flow(Flow* flow, int source, int sink, int64_t limit) noexcept
cdef void close_flow(Flow* flow) noexcept
cdef bint is_blocked(const Flow* flow) noexcept
cdef int hold(Flow* flow, const uint8_t* data, Py_ssize_t size) except -1
cdef Moved flush(Flow* flow) noexcept
cdef Moved pump(Flow* flow, uint8_t* buf, bint end_in_sight, int last_flags) except? SINK_BROKE
