from libc.stdint cimport int64_t, uint8_t

from gate.native.body cimport MOST_HELD, Body, Framing
from gate.native.client_side cimport ClientSide
from gate.native.response_head cimport ResponseHead

cdef class Responding(ClientSide):
    cdef bytes _heard                   # a response head that is not all there
    cdef Body _body
    cdef uint8_t _tail[MOST_HELD]       # what is left of the body's last read
    cdef int _tail_size
    cdef int _interims
    cdef bint _usable                   # the upstream connection can serve another request
    cdef bint _authenticates            # it speaks for this client only from now on

    cdef int _read_response(self) except -1
    cdef int _interim(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int _respond(self, uint8_t* buf, Py_ssize_t size, ResponseHead* head, bint full) except -1
    cdef int _odd_response(self, bytes data, Py_ssize_t searched, bint full) except -1
    cdef int _write_head(
        self, uint8_t* out, const uint8_t* buf, ResponseHead* head, bint close
    ) except -1
    cdef int _go_on(self, Framing framing, int64_t left) except -1
    cdef int _relay(self) except -1
    cdef int _relay_chunks(self) except -1
    cdef int _feed_odd(self, bytes data, ssize_t count, bint* done) except -1
    cdef int _end_early(self) except -1
    cdef int _refuse_response(self, kind) except -1

    # For the class that asks.
    cdef int _complete(self) except -1
