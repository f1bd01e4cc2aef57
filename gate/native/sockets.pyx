"""What a close does."""

from gate.native.libc cimport SO_LINGER, SOL_SOCKET, linger, setsockopt


cdef void reset_on_close(int fd) noexcept nogil:
    """Make the close that follows discard what is queued and send a RST."""
    cdef linger option
    option.l_onoff = 1
    option.l_linger = 0
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof(option))


cdef void linger_off(int fd) noexcept nogil:
    """Make the close that follows an end in order; a listening socket's option is inherited."""
    cdef linger option
    option.l_onoff = option.l_linger = 0
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof(option))
