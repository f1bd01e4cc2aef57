"""Kernel pipes for `splice`, kept for reuse (see gate/proxy/pipes.py).

A pipe is held by a flow only while bytes are inside it, so a few serve thousands of tunnels.
"""

from gate.native.libc cimport F_SETPIPE_SZ, O_CLOEXEC, O_NONBLOCK, close, fcntl, pipe2

cdef enum:
    KEPT = 64

cdef Pipe _free[KEPT]
cdef int _count = 0


cdef bint take_pipe(Pipe* pipe) noexcept:
    """Get an empty pipe; False if the process is out of descriptors."""
    global _count
    cdef int ends[2]
    pipe.inside = 0
    if _count:
        _count -= 1
        pipe[0] = _free[_count]
        return True
    if pipe2(ends, O_NONBLOCK | O_CLOEXEC):
        pipe.reader = pipe.writer = -1
        return False
    pipe.reader, pipe.writer = ends[0], ends[1]
    # Over the user's pipe quota the default size stays: it works, with more system calls.
    fcntl(pipe.writer, F_SETPIPE_SZ, <int>PIPE_BYTES)
    return True


cdef void give_pipe(Pipe* pipe) noexcept:
    """Return a pipe; one that still holds bytes is closed, so that they reach nobody."""
    global _count
    if pipe.inside == 0 and _count < KEPT:
        _free[_count] = pipe[0]
        _count += 1
    else:
        close(pipe.reader)
        close(pipe.writer)
    pipe.reader = pipe.writer = -1
    pipe.inside = 0


def close_kept():
    """Close the pipes that nobody uses."""
    global _count
    while _count:
        _count -= 1
        close(_free[_count].reader)
        close(_free[_count].writer)
