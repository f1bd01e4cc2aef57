from libc.stdint cimport uint32_t

from gate.native.dialling cimport Dialling
from gate.native.engine cimport Ready
from gate.native.plane cimport NativePlane, Target

cdef class Exchanging(Dialling):
    """A client's connection that may have an exchange on an upstream connection."""

    cdef int on_upstream(self, uint32_t events) except -1
    cdef int on_upstream_ended(self) except -1

cdef class Upstream(Ready):
    cdef NativePlane plane
    cdef Target target
    cdef Exchanging owner           # None between exchanges
    cdef Upstream next_idle
    cdef int fd
    cdef bint reused                # it has carried an exchange, and nothing of this one's answer
    cdef bint end_in_sight          # its end has been reported
    cdef bint urgent                # so has urgent data, at which a read stops
    cdef bint wants_out             # it is watched for what it takes
    cdef unsigned long taken        # the engine's batch when it was last taken
    cdef double idle_since

    cdef bint is_stale(self) noexcept
    cdef bint is_behind(self) noexcept
    cdef int release(self) except -1
    cdef int close(self, bint cut) except -1
    cdef int _leave_idle(self) except -1

cdef Upstream new_upstream(NativePlane plane, Target target, int fd, bint watched, Exchanging owner)
cdef Upstream take_idle(Target target)
cdef int close_unused(NativePlane plane, double since) except -1
