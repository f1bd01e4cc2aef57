from libc.stdint cimport uint8_t

from gate.native.response cimport Responding

cdef class Uploading(Responding):
    cdef int _upload(self, const uint8_t* unsent, Py_ssize_t size) except -1
    cdef int _pump_up(self) except -1
    cdef int _uploaded(self) except -1
    cdef int _upload_broke(self) except -1
