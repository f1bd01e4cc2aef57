from libc.stdint cimport uint8_t

cdef enum:
    LONGEST = 63                # of a plain name; see gate/names.py

cdef Py_ssize_t read_plain_name(
    const uint8_t* host, Py_ssize_t size, uint8_t* name
) noexcept nogil
