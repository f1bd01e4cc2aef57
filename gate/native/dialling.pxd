from libc.stdint cimport uint8_t, uint32_t

from gate.native.engine cimport Timed
from gate.native.plane cimport NativePlane, Target, TargetPool

cdef enum Missed:
    REFUSED                     # an endpoint refused the connection, or broke it off
    SLOW                        # an endpoint did not take it in time
    EXHAUSTED                   # the gate has nothing left to connect with

cdef class Dialling(Timed):
    """A client's connection that may have an upstream connection under way."""

    cdef NativePlane plane
    cdef TargetPool pool
    cdef Target target          # that is dialled, or was reached
    cdef int dialled            # the descriptor that is being connected, -1: none
    cdef int _tries
    cdef double _dial_began

    cdef int dial(self, Target target) except -1
    cdef int on_dialled(self, uint32_t events) except -1
    cdef int dial_timed_out(self) except -1
    cdef int stop_dialling(self) except -1
    cdef int _next(self, Target target, Missed missed) except -1
    cdef Missed _failed(self, Target target, int number) except *

    # For the class that dials.
    cdef const uint8_t* first_bytes(self, Py_ssize_t* size) noexcept
    cdef int connected(self, int fd, bint watched, Py_ssize_t sent) except -1
    cdef int unreachable(self, Missed missed) except -1
