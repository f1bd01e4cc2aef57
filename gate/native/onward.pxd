from libc.stdint cimport uint8_t

from gate.native.request_head cimport HeadLimits, RequestHead

cdef class Onward:
    cdef HeadLimits limits      # of the heads that are read for it
    cdef list _templates        # by claims, then without and with a length
    cdef object _fields
    cdef object _node

    cdef bytes fields_of(self, str address)
    cdef uint8_t* serialise(
        self, const uint8_t* buf, const RequestHead* head, Py_ssize_t body, str address,
        bytes fields, Py_ssize_t* size
    ) except NULL
