from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    BUFFER = 65536              # bytes that one read brings at most
    HEADROOM = 256              # free in front of `incoming`
    SLOTS = 1024                # of the wheel, TICK_SECONDS wide each

cdef class Ready:
    """What the engine calls when a descriptor of its is ready."""

    cdef int on_ready(self, int fd, uint32_t events) except -1

cdef class Timed(Ready):
    """A connection with a deadline. The wheel's links are borrowed: see `unschedule`."""

    cdef double deadline        # monotonic seconds
    cdef double patience        # the longest time between two looks at it; 0: no such bound
    cdef PyObject* _before
    cdef PyObject* _after
    cdef int _slot              # 1 more than the wheel's; 0: not scheduled

    cdef int on_deadline(self) except -1
    cdef int cut(self, str cause) except -1

cdef class Engine:
    cdef int _epoll
    cdef PyObject** _owners     # by descriptor; holds a reference
    cdef uint32_t* _generations
    cdef int _room
    cdef PyObject* _wheel[SLOTS]
    cdef long _tick
    cdef double _nap
    cdef bint _trickles
    cdef object _reactor
    cdef uint8_t* incoming      # BUFFER bytes behind HEADROOM free ones, for whoever runs
    cdef uint8_t* outgoing      # 2 * BUFFER bytes, likewise
    cdef readonly double now    # monotonic seconds, of this batch
    cdef readonly unsigned long batch
    cdef int fresh              # connections that this batch has accepted
    cdef int others             # events of it that were not for a listening socket
    cdef readonly long scheduled_count

    cdef int watch(self, int fd, uint32_t events, Ready owner) except -1
    cdef int rewatch(self, int fd, uint32_t events) except -1
    cdef int assign(self, int fd, Ready owner) except -1
    cdef void forget(self, int fd) noexcept
    cdef void drop(self, int fd) noexcept
    cdef int let_go(self, int fd) except -1
    cdef int _grow(self, int fd) except -1
    cdef int _failed(self, owner) except -1
    cdef list _turn(self, double timeout)
    cdef void schedule(self, Timed timed, double when) noexcept
    cdef void unschedule(self, Timed timed) noexcept
