"""One direction of relayed bytes, as gate/proxy/flow.py: small amounts through the engine's buffer,
bulk through a kernel pipe with `splice`. What the sink does not take stops the source.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from gate.native.engine cimport BUFFER
from gate.native.libc cimport (
    MSG_MORE, MSG_NOSIGNAL, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, recv, send, splice,
)
from gate.native.pipes cimport PIPE_BYTES, Pipe, give_pipe, take_pipe

cdef enum:
    SMALL_SPLICE = 1 << 14      # less than that does not pay for the second system call


cdef void open_flow(Flow* flow, int source, int sink, int64_t limit) noexcept:
    """Begin a flow; with a `limit` (not -1), that many bytes and no more."""
    flow.source = source
    flow.sink = sink
    flow.limit = limit
    flow.moved = 0
    flow.dry_at = -1
    flow.held = NULL
    flow.held_at = flow.held_size = 0
    flow.pipe.reader = flow.pipe.writer = -1
    flow.pipe.inside = 0
    flow.bulk = flow.ended = False


cdef void close_flow(Flow* flow) noexcept:
    """Let go of what is held; the sockets belong to the connection."""
    PyMem_Free(flow.held)
    flow.held = NULL
    flow.held_size = 0
    if flow.pipe.reader >= 0:
        give_pipe(&flow.pipe)


cdef bint is_blocked(const Flow* flow) noexcept:
    """Whether bytes wait for the sink; the source is not read meanwhile."""
    return flow.held != NULL or flow.pipe.inside > 0


cdef int hold(Flow* flow, const uint8_t* data, Py_ssize_t size) except -1:
    """Keep bytes for the sink, behind what is held already."""
    cdef uint8_t* held = <uint8_t*>PyMem_Malloc(flow.held_size + size)
    if held == NULL:
        raise MemoryError
    if flow.held != NULL:
        memcpy(held, flow.held + flow.held_at, flow.held_size)
        PyMem_Free(flow.held)
    memcpy(held + flow.held_size, data, size)
    flow.held = held
    flow.held_at = 0
    flow.held_size += <int>size
    return 0


cdef Moved _send_held(Flow* flow) noexcept:
    cdef ssize_t sent = send(flow.sink, flow.held + flow.held_at, flow.held_size, MSG_NOSIGNAL)
    if sent < 0:
        return BLOCKED if errno == EAGAIN else SINK_BROKE
    flow.held_at += <int>sent
    flow.held_size -= <int>sent
    if flow.held_size:
        return BLOCKED
    PyMem_Free(flow.held)
    flow.held = NULL
    return AGAIN


cdef Moved flush(Flow* flow) noexcept:
    """Send what was put in front, and read nothing; AGAIN when the sink has it all."""
    return AGAIN if flow.held == NULL else _send_held(flow)


cdef Moved pump(Flow* flow, uint8_t* buf, bint end_in_sight, int last_flags) except? SINK_BROKE:
    """Move what can be moved now, through `buf`.

    `end_in_sight` says that the source's end was there before this read, with nothing that a read
    stops at in front of it: a short read is the last one then. `last_flags` are for the send that
    brings the last bytes: with MSG_MORE the end that the caller tells the sink next goes with them.
    """
    cdef Moved moved
    cdef int64_t wanted = BUFFER
    cdef ssize_t count, sent
    cdef bint last
    if flow.held != NULL:
        moved = _send_held(flow)
        if moved != AGAIN:
            return moved
    if flow.bulk or flow.pipe.inside:
        return _splice(flow)
    if flow.limit == 0:
        flow.ended = True
        return ENDED
    if 0 < flow.limit < wanted:
        wanted = flow.limit
    count = recv(flow.source, buf, wanted, 0)
    if count < 0:
        return STARVED if errno == EAGAIN else SOURCE_BROKE
    if count == 0:
        flow.ended = True
        return ENDED
    flow.moved += count
    if flow.limit > 0:
        flow.limit -= count
    last = flow.limit == 0 or (end_in_sight and count < wanted)
    sent = send(flow.sink, buf, count, MSG_NOSIGNAL | (last_flags if last else 0))
    if sent < 0:
        if errno != EAGAIN:
            return SINK_BROKE
        sent = 0
    if sent < count:
        hold(flow, buf + sent, count - sent)
        return BLOCKED
    if last:
        flow.ended = True
        return ENDED
    if count < wanted:
        return STARVED              # a short read has emptied the socket
    if count == BUFFER:
        flow.bulk = True
    return AGAIN


cdef Moved _splice(Flow* flow) noexcept:
    cdef ssize_t count = 0, gone
    cdef int64_t wanted = PIPE_BYTES
    if flow.pipe.reader < 0 and not take_pipe(&flow.pipe):
        flow.bulk = False           # out of descriptors: the buffer needs none
        return AGAIN
    if flow.pipe.inside == 0:
        if flow.limit == 0:
            return _end_splice(flow, ENDED)
        if 0 < flow.limit < wanted:
            wanted = flow.limit
        count = splice(
            flow.source, NULL, flow.pipe.writer, NULL, wanted, SPLICE_F_MOVE | SPLICE_F_NONBLOCK
        )
        if count < 0:
            if errno != EAGAIN:
                return SOURCE_BROKE
            # A splice never gets past TCP's urgent data, and finds nothing, or the end, before it;
            # a read leaves the urgent byte out and goes on behind it.
            flow.bulk = flow.moved != flow.dry_at
            flow.dry_at = flow.moved
            return _end_splice(flow, STARVED)
        if count == 0:
            flow.bulk = False
            return _end_splice(flow, AGAIN)
        flow.moved += count
        if flow.limit > 0:
            flow.limit -= count
        flow.pipe.inside = <int>count
    gone = splice(
        flow.pipe.reader, NULL, flow.sink, NULL, flow.pipe.inside,
        SPLICE_F_MOVE | SPLICE_F_NONBLOCK,
    )
    if gone < 0:
        return BLOCKED if errno == EAGAIN else SINK_BROKE
    flow.pipe.inside -= <int>gone
    if flow.pipe.inside:
        return BLOCKED
    if flow.limit == 0:
        return _end_splice(flow, ENDED)
    if 0 < count < SMALL_SPLICE:
        flow.bulk = False
        return _end_splice(flow, AGAIN)
    return AGAIN


cdef Moved _end_splice(Flow* flow, Moved moved) noexcept:
    """Give the empty pipe back."""
    if moved == ENDED:
        flow.ended = True
    give_pipe(&flow.pipe)
    return moved
