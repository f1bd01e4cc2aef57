from libc.stdint cimport uint8_t, uint16_t, uint32_t

from gate.native.dialling cimport Dialling
from gate.native.flow cimport Flow, Moved

cdef class Tunnel(Dialling):
    cdef readonly object listener       # gate.proxy.listener.ListenerState
    cdef readonly object verdict
    cdef readonly long number
    cdef str _address
    cdef object _host                   # where it is counted in, if it goes to its destination
    cdef uint8_t* _first                # what the upstream is sent first, while it is dialled
    cdef Py_ssize_t _first_size
    cdef Flow _up
    cdef Flow _down
    cdef double _touched
    cdef int _client
    cdef int _upstream
    cdef uint16_t _family
    # 0 or 1; a tunnel may be idle for hours, and there are many.
    cdef uint8_t _unanswered            # the upstream has a hello and has not said a thing
    cdef uint8_t _early                 # the client has sent more meanwhile, which waits
    cdef uint8_t _blames, _quick, _ended

    cdef int open(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int _ready(self, uint32_t events, bint client) except -1
    cdef int _pump(self, Flow* flow, uint32_t events) except -1
    cdef int _hold_back(self) except -1
    cdef int _hear(self, Moved progress) except -1
    cdef int _hand_over(self, Py_ssize_t heard) except -1
    cdef int _blame(self) except -1
    cdef int _end(self, str cause, bint cut) except -1
