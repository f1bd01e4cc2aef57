cdef struct Pipe:
    int reader
    int writer
    int inside              # bytes in it

cdef bint take_pipe(Pipe* pipe) noexcept
cdef void give_pipe(Pipe* pipe) noexcept
cdef enum:
    PIPE_BYTES = 1 << 20
