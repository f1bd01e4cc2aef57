cdef void reset_on_close(int fd) noexcept nogil
cdef void linger_off(int fd) noexcept nogil
