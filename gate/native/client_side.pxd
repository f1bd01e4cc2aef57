from libc.stdint cimport int64_t, uint8_t

from gate.native.flow cimport Flow
from gate.native.libc cimport EPOLLET, EPOLLIN, EPOLLPRI, EPOLLRDHUP
from gate.native.plane cimport Cause
from gate.native.upstream cimport Exchanging, Upstream

cdef enum State:                # see gate/proxy/http/states.py
    IDLE                        # between requests: what comes next is a head, or the end
    BUSY
    FLUSH
    LINGER
    GONE                        # ended, or handed over

cdef enum Phase:
    CONNECTING
    SENDING
    WAITING
    RESPONDING

cdef enum:
    READING = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET
    READ_BYTES = 16384          # of a request, as gate.proxy.admission has it
    TURNS = 16                  # reads before other connections have their turn

cdef class ClientSide(Exchanging):
    cdef str _address
    cdef object _host                   # where it is counted in, if it goes to its destination
    cdef int fd
    cdef State _state
    cdef Phase _phase
    cdef Upstream _upstream
    cdef Upstream _own                  # that serves nobody else any more
    cdef uint8_t* _request              # as it is sent; kept until the response begins
    cdef object _chunks                 # gate.wire.http1.ChunkedBody, for an odd body
    cdef Flow _down
    cdef Flow _up                       # what is left of the request's body
    cdef int64_t _left                  # bytes of it that have not come with the head
    cdef bint _uploading                # what the client sends now goes there
    cdef bint _whole                    # all of the request has come
    cdef bint _unsure                   # whether something is behind the request is not known
    cdef bint _urgent                   # a read of the client may stop before what there is
    cdef bint _watched, _wants_out
    cdef bint _unread                   # there is something to read, or there was
    cdef bint _hung_up                  # the client has said that it sends no more
    cdef bint _closes, _to_head

    cdef int _give(self, const uint8_t* data, Py_ssize_t size, bint last) except -1
    cdef int _flush_and(self, bint close) except -1
    cdef int _watch(self, bint out) except -1
    cdef int _linger(self) except -1
    cdef int _discard(self) except -1
    cdef int _refuse(self, int status, str detail) except -1
    cdef int _fail(self, str failure) except -1
    cdef int _drop_upstream(self) except -1
    cdef void _stop_upload(self) noexcept
    cdef int _wait(self, double seconds) except -1
    cdef int _settle_in(self) except -1
    cdef void _forget_request(self) noexcept
    cdef int _end(self, Cause cause, bint cut) except -1
    cdef int _close(self, bint cut) except -1
