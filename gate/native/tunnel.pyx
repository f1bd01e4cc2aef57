"""A tunnel: bytes relayed both ways between a client and an upstream, unread.

Half-close is passed on in both directions; a reset on one side becomes a reset on the other. Both
sockets are watched edge-triggered: what is readable is read until the source is empty, and after a
wait for the sink, too.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from gate.native.dialling cimport EXHAUSTED, SLOW, Dialling, Missed
from gate.native.engine cimport Engine
from gate.native.flow cimport (
    AGAIN, BLOCKED, ENDED, SINK_BROKE, SOURCE_BROKE, STARVED, Flow, Moved, close_flow, flush, hold,
    is_blocked, open_flow, pump,
)
from gate.native.libc cimport (
    EPOLLERR, EPOLLET, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, IPPROTO_TCP, MSG_DONTWAIT, MSG_MORE,
    MSG_PEEK, SHUT_WR, TCP_NODELAY, close, recv, setsockopt, shutdown,
)
from gate.native.hello cimport asks_again
from gate.native.plane cimport NativePlane
from gate.native.sockets cimport reset_on_close

cdef enum:
    READING = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET
    HEARD = EPOLLIN | EPOLLPRI | EPOLLRDHUP
    TURNS = 16                  # reads before other connections have their turn

cdef dict _MISSED = {
    EXHAUSTED: "dial_exhausted", SLOW: "upstream_timeout",
}


@cython.final
cdef class Tunnel(Dialling):
    """One client connection and one upstream connection. It has been admitted and judged."""

    def __cinit__(self):
        self._client = self._upstream = -1
        open_flow(&self._up, -1, -1, -1)
        open_flow(&self._down, -1, -1, -1)

    def __dealloc__(self):
        PyMem_Free(self._first)
        close_flow(&self._up)
        close_flow(&self._down)

    @property
    def connection(self):
        """What has its listener and its verdict: the tunnel itself."""
        return self

    @property
    def blocked(self):
        """Whether bytes wait for either side."""
        return bool(is_blocked(&self._up) or is_blocked(&self._down))

    def judge_again(self):
        """Judge it anew by the name that it asked for; whether it is allowed as of now."""
        if self.verdict is not None and self.verdict.name:
            self.verdict = self.plane.decider.judge(self.verdict.name.encode())
        return self.verdict is not None and self.verdict.allowed

    def __str__(self):
        return self.plane.name(self.listener, self.number)

    cdef int open(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Dial an upstream and send `data`, then relay. From here on it ends itself."""
        cdef Engine engine = self.plane.engine
        self._touched = engine.now
        self._unanswered = True
        self._first = <uint8_t*>data        # borrowed, until it is known whether it is needed
        self._first_size = size
        try:
            self.dial(self.pool.pick(engine.now))
        finally:
            if self._first == data:
                self._first = NULL
        if self.dialled >= 0:
            self._first = <uint8_t*>PyMem_Malloc(size)
            if self._first == NULL:
                raise MemoryError
            memcpy(self._first, data, size)
            self.deadline = engine.now + self.plane.connect_seconds
            engine.schedule(self, self.deadline)
        return 0

    cdef const uint8_t* first_bytes(self, Py_ssize_t* size) noexcept:
        size[0] = self._first_size
        return self._first

    cdef int connected(self, int fd, bint watched, Py_ssize_t sent) except -1:
        cdef NativePlane plane = self.plane
        cdef Engine engine = plane.engine
        cdef uint32_t events = READING
        self._upstream = fd
        plane.bytes_up += self._first_size
        open_flow(&self._up, self._client, fd, -1)
        open_flow(&self._down, fd, self._client, -1)
        self._blames = self.verdict.allowed
        if sent < self._first_size:
            hold(&self._up, self._first + sent, self._first_size - sent)
            events |= EPOLLOUT
        if watched:
            PyMem_Free(self._first)
            self._first = NULL
            engine.unschedule(self)
            if events & EPOLLOUT:
                engine.rewatch(fd, events)
        else:
            engine.watch(fd, events, self)
        engine.watch(self._client, READING, self)
        self.deadline = engine.now + plane.tunnel_seconds
        engine.schedule(self, self.deadline)
        return 0

    cdef int unreachable(self, Missed missed) except -1:
        return self._end(_MISSED.get(missed, "upstream_failed"), True)

    # Readiness.

    cdef int on_ready(self, int fd, uint32_t events) except -1:
        self.plane.engine.others += 1
        if fd == self.dialled:
            return self.on_dialled(events)
        if fd == self._client:
            return self._ready(events, True)
        return self._ready(events, False)

    cdef int _ready(self, uint32_t events, bint client) except -1:
        """A socket is ready: the source of one flow, the sink of the other."""
        cdef Flow* reading = &self._up if client else &self._down
        cdef Flow* writing = &self._down if client else &self._up
        if events & EPOLLOUT and is_blocked(writing):
            self._pump(writing, EPOLLRDHUP | EPOLLPRI)
            if self._ended:
                return 0
        if events & HEARD:
            if not is_blocked(reading) and not reading.ended:
                self._pump(reading, events)
        elif events & EPOLLERR:
            self._end("peer_reset", True)
        return 0

    cdef int _pump(self, Flow* flow, uint32_t events) except -1:
        """Move bytes until the source is empty, or the sink is full, or the turn is over.

        `events` are those of the source. Behind urgent data (at which a read stops) there may be
        more than a short read brings; only a read that finds nothing, or the end, tells then.
        """
        cdef Engine engine = self.plane.engine
        cdef bint upwards = flow == &self._up
        cdef bint behind = events & (EPOLLRDHUP | EPOLLPRI)
        cdef bint last = events & EPOLLRDHUP and not events & EPOLLPRI
        cdef int turns = TURNS
        cdef int one = 1
        cdef int64_t before = flow.moved, moved
        cdef Moved progress
        cdef bint bulk
        if self._unanswered and upwards:
            return self._hold_back()
        self._touched = engine.now
        if upwards and not self._quick and not last:
            self._quick = True          # more than the first bytes, and not all: never wait
            setsockopt(self._upstream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        while True:
            turns -= 1
            moved = flow.moved
            bulk = flow.bulk
            progress = pump(flow, engine.incoming, last, MSG_MORE)
            if self._unanswered and (flow.moved or progress == ENDED) and self._hear(progress):
                return 0
            if progress == STARVED and behind:
                if flow.moved == moved and not bulk:
                    behind = False
                elif turns:
                    flow.bulk = False   # a splice may find nothing where a read finds something
                    continue
            if progress != AGAIN or turns == 0:
                break
        if upwards:
            self.plane.bytes_up += flow.moved - before
        else:
            self.plane.bytes_down += flow.moved - before
        if progress == STARVED and not behind:
            return 0
        if progress == SOURCE_BROKE or progress == SINK_BROKE:
            if not upwards:
                self._blame()
            return self._end("peer_reset", True)
        if progress == ENDED:
            if not upwards:
                self._blame()
            if self._up.ended and self._down.ended:
                return self._end("closed", False)
            if shutdown(flow.sink, SHUT_WR):
                return self._end("peer_reset", True)
            return 0
        # The sink is full, or the turn is over: setting the events anew reports them anew.
        engine.rewatch(flow.sink if progress == BLOCKED else flow.source, READING | EPOLLOUT)
        return 0

    # The second hello: see gate/proxy/second_hello.py.

    cdef int _hold_back(self) except -1:
        """Leave with the client what it sends before the upstream has answered; pass on its end."""
        cdef uint8_t byte
        cdef ssize_t count
        cdef Moved flushed = flush(&self._up)
        if flushed != AGAIN:
            return 0 if flushed == BLOCKED else self._end("peer_reset", True)
        count = recv(self._client, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
        if count > 0:
            self._early = True
            return 0
        if count < 0:
            return 0 if errno == EAGAIN else self._end("peer_reset", True)
        self._up.ended = True
        if shutdown(self._upstream, SHUT_WR):
            return self._end("peer_reset", True)
        return self._end("closed", False) if self._down.ended else 0

    cdef int _hear(self, Moved progress) except -1:
        """See if the upstream asks for a second hello in what it says first, now in the buffer.

        Then, and where it is too little to tell, the Python plane goes on with the tunnel: 1.
        """
        cdef Engine engine = self.plane.engine
        cdef int again = asks_again(engine.incoming, <Py_ssize_t>self._down.moved)
        self._unanswered = False
        if again > 0 or (again < 0 and progress != ENDED):
            self.plane.bytes_down += self._down.moved
            if progress == ENDED or progress == SINK_BROKE:
                self._end("closed" if progress == ENDED else "peer_reset", progress != ENDED)
            else:
                self._hand_over(<Py_ssize_t>self._down.moved)
            return 1
        if self._early:
            engine.rewatch(self._client, READING | EPOLLOUT)
        return 0

    cdef int _hand_over(self, Py_ssize_t heard) except -1:
        """Give both sides to the Python plane, with what the upstream has said."""
        cdef Engine engine = self.plane.engine
        cdef bytes answer = PyBytes_FromStringAndSize(<const char*>engine.incoming, heard)
        cdef Flow* down = &self._down
        cdef bytes unsent = PyBytes_FromStringAndSize(
            <const char*>down.held + down.held_at if down.held != NULL else NULL, down.held_size
        )
        cdef bytes unasked = PyBytes_FromStringAndSize(
            <const char*>self._up.held + self._up.held_at if self._up.held != NULL else NULL,
            self._up.held_size,
        )
        self._ended = True
        engine.unschedule(self)
        engine.let_go(self._client)
        engine.let_go(self._upstream)
        self.plane.adopt_tunnel(
            self.listener, self._client, self._family, self._address, self.number, self.verdict,
            self._upstream, self.target.endpoint, unasked, answer, unsent, bool(self._up.ended),
        )
        return 0

    cdef int _blame(self) except -1:
        """Count it as a failure if the upstream breaks before it has sent a byte.

        See gate/proxy/tunnel.py for what that says, and when it says nothing.
        """
        if self._blames and not (self._down.moved or self._up.moved or self._up.ended):
            self.target.failed(self.plane)
        return 0

    # Ending.

    cdef int on_deadline(self) except -1:
        cdef Engine engine = self.plane.engine
        if self._upstream < 0:
            self.dial_timed_out()
            if self.dialled >= 0:
                self.deadline = engine.now + self.plane.connect_seconds
                engine.schedule(self, self.deadline)
            return 0
        self.deadline = self._touched + self.plane.tunnel_seconds
        if engine.now >= self.deadline:
            return self._end("idle", True)
        engine.schedule(self, self.deadline)
        return 0

    cdef int cut(self, str cause) except -1:
        return self._end(cause, True)

    cdef int _end(self, str cause, bint cut) except -1:
        cdef NativePlane plane = self.plane
        cdef Engine engine = plane.engine
        if self._ended:
            return 0
        self._ended = True
        engine.unschedule(self)
        self.stop_dialling()
        close_flow(&self._up)
        close_flow(&self._down)
        if cut:
            reset_on_close(self._client)
        plane.leave(self._address)
        if self._host is not None:
            plane.leave_host(self._host)
        plane.end_for(cause)
        if self._upstream >= 0:
            if cut:
                reset_on_close(self._upstream)
            engine.drop(self._client)
            engine.drop(self._upstream)
        else:
            close(self._client)
        return 0
