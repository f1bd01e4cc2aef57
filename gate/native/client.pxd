from libc.stdint cimport uint8_t

from gate.native.listening cimport Listening
from gate.native.onward cimport Onward
from gate.native.plane cimport Target, TargetPool
from gate.native.request_head cimport RequestHead
from gate.native.uploading cimport Uploading
from gate.native.verdicts cimport HeldVerdict

cdef class Client(Uploading):
    cdef Listening listening
    cdef Onward onward
    cdef readonly HeldVerdict verdict
    cdef readonly long number
    cdef bytes _told                    # what an upstream is told of the client
    cdef Py_ssize_t _request_size
    cdef bint _idempotent

    cdef int begin(
        self, const uint8_t* buf, Py_ssize_t size, RequestHead* head, TargetPool pool
    ) except -1
    cdef int _read(self) except -1
    cdef int _take(self, const uint8_t* buf, Py_ssize_t size) except -1
    cdef int _turn_away(self, const uint8_t* path, Py_ssize_t path_size, bint full) except -1
    cdef int _hand_over(self, const uint8_t* buf, Py_ssize_t size) except -1
    cdef int _hand_over_own(self) except -1
    cdef int _forward(
        self, const uint8_t* buf, Py_ssize_t came, RequestHead* head, TargetPool pool
    ) except -1
    cdef int _serialise(self, const uint8_t* buf, Py_ssize_t body, RequestHead* head) except -1
    cdef int _ask(self, Target target) except -1
    cdef int _ask_anew(self, Target target) except -1
    cdef int _sent(self, Py_ssize_t sent) except -1
    cdef int _done(self) except -1
    cdef int _next_request(self) except -1
    cdef int _flush(self) except -1
