from libc.stdint cimport uint8_t

cdef struct Hello:
    Py_ssize_t name    # where the host_name begins, -1 without a server_name extension
    Py_ssize_t size    # of the host_name
    bint ech
    Py_ssize_t end     # behind the hello

cdef int asks_again(const uint8_t* answer, Py_ssize_t size) noexcept nogil
cdef bint read_hello(const uint8_t* buf, Py_ssize_t size, Hello* hello) noexcept nogil
