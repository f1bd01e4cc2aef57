"""The engine: one epoll descriptor, a table of owners, a wheel of deadlines.

It stands where the reactor (gate/proxy/reactor.py) has `select.epoll`, and has that one's methods.
Descriptors with a native owner are served inside `poll`, which returns the others that are ready.

Who owns what:

- A descriptor has one owner. Only `watch`, `assign`, `forget`, `drop` and `let_go` touch the table,
  which holds a reference to the owner; `drop` closes the descriptor as well.
- A descriptor's number may be closed and given out again while events of its past life are still
  to be handled. Each registration has a generation, which epoll hands back; an old one is ignored.
- The wheel borrows: who is scheduled must be unscheduled before the table lets go of it. The engine
  itself holds a reference while it calls a handler.

The buffers are for whoever runs. What points into them is dead after the next read.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from gate.native.libc cimport (
    CLOCK_MONOTONIC, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, PR_SET_TIMERSLACK,
    clock_nanosleep, close as close_fd, epoll_create1, epoll_ctl, epoll_event, epoll_wait, monotonic,
    prctl, timespec,
)

import os

cdef enum:
    MOST_EVENTS = 512
    FIRST_ROOM = 1024
    FEW = 8                     # fresh connections in a batch that are worth a nap
    SLACK_NANOSECONDS = 1000

cdef double TICK_SECONDS = 0.25         # as the reactor's
cdef double LAP_SECONDS = 0.01          # the longest time without a turn for asyncio
cdef double AT_ONCE = 150e-6            # a batch that came so soon will have company


cdef class Ready:
    cdef int on_ready(self, int fd, uint32_t events) except -1:
        raise NotImplementedError


cdef class Timed(Ready):
    cdef int on_deadline(self) except -1:
        """The deadline has passed: end, or set another and be scheduled again."""
        raise NotImplementedError

    cdef int cut(self, str cause) except -1:
        """End at once, with resets."""
        raise NotImplementedError

    def abort(self, str cause="aborted"):
        """End at once, with resets."""
        self.cut(cause)


cdef class Engine:
    """See the module. `coalesce` is the longest time in seconds to wait for company (see `_turn`)."""

    def __cinit__(self):
        self._epoll = -1
        self._room = FIRST_ROOM
        self._owners = <PyObject**>PyMem_Calloc(self._room, sizeof(PyObject*))
        self._generations = <uint32_t*>PyMem_Calloc(self._room, sizeof(uint32_t))
        self.incoming = <uint8_t*>PyMem_Malloc(HEADROOM + BUFFER)
        self.outgoing = <uint8_t*>PyMem_Malloc(2 * BUFFER)
        if (
            self._owners == NULL or self._generations == NULL
            or self.incoming == NULL or self.outgoing == NULL
        ):
            raise MemoryError
        self.incoming += HEADROOM

    def __init__(self, double coalesce=0.0):
        self._epoll = epoll_create1(EPOLL_CLOEXEC)
        if self._epoll < 0:
            raise OSError(errno, os.strerror(errno))
        self._nap = coalesce
        if coalesce:
            prctl(PR_SET_TIMERSLACK, SLACK_NANOSECONDS)
        self.now = monotonic()
        self._tick = <long>(self.now / TICK_SECONDS)

    def __dealloc__(self):
        cdef int fd
        if self._owners != NULL:
            for fd in range(self._room):
                Py_XDECREF(self._owners[fd])
        PyMem_Free(self._owners)
        PyMem_Free(self._generations)
        if self.incoming != NULL:
            PyMem_Free(self.incoming - HEADROOM)
        PyMem_Free(self.outgoing)
        if self._epoll >= 0:
            close_fd(self._epoll)

    def attach(self, reactor):
        """Tell the reactor whose `now` goes with this engine's."""
        self._reactor = reactor

    def fileno(self):
        """The epoll descriptor."""
        return self._epoll

    # Native descriptors.

    cdef int watch(self, int fd, uint32_t events, Ready owner) except -1:
        """Watch a descriptor for its owner. Raises OSError where the kernel has no room."""
        cdef epoll_event event
        if fd >= self._room:
            self._grow(fd)
        self._generations[fd] += 1
        event.events = events
        event.data.u64 = <uint64_t>self._generations[fd] << 32 | <uint32_t>fd
        if epoll_ctl(self._epoll, EPOLL_CTL_ADD, fd, &event):
            raise OSError(errno, os.strerror(errno))
        Py_INCREF(owner)
        self._owners[fd] = <PyObject*>owner
        return 0

    cdef int rewatch(self, int fd, uint32_t events) except -1:
        """Set the events anew; what is ready already is reported again."""
        cdef epoll_event event
        event.events = events
        event.data.u64 = <uint64_t>self._generations[fd] << 32 | <uint32_t>fd
        if epoll_ctl(self._epoll, EPOLL_CTL_MOD, fd, &event):
            raise OSError(errno, os.strerror(errno))
        return 0

    cdef int assign(self, int fd, Ready owner) except -1:
        """Give a watched descriptor to another owner."""
        cdef PyObject* before = self._owners[fd]
        Py_INCREF(owner)
        self._owners[fd] = <PyObject*>owner
        Py_XDECREF(before)
        return 0

    cdef void forget(self, int fd) noexcept:
        """Let go of the owner: events of this descriptor that are still to be handled are void."""
        cdef PyObject* owner
        if fd >= self._room:
            return                      # never watched
        owner = self._owners[fd]
        self._generations[fd] += 1
        self._owners[fd] = NULL
        Py_XDECREF(owner)

    cdef void drop(self, int fd) noexcept:
        """Let go of the owner and close, which takes it out of the epoll set."""
        self.forget(fd)
        close_fd(fd)

    cdef int let_go(self, int fd) except -1:
        """Watch no more; the descriptor stays open, for somebody else."""
        cdef epoll_event event
        self.forget(fd)
        if epoll_ctl(self._epoll, EPOLL_CTL_DEL, fd, &event):
            raise OSError(errno, os.strerror(errno))
        return 0

    cdef int _grow(self, int fd) except -1:
        cdef int room = self._room
        cdef PyObject** owners
        cdef uint32_t* generations
        while room <= fd:
            room *= 2
        owners = <PyObject**>PyMem_Realloc(self._owners, room * sizeof(PyObject*))
        if owners == NULL:
            raise MemoryError
        self._owners = owners
        generations = <uint32_t*>PyMem_Realloc(self._generations, room * sizeof(uint32_t))
        if generations == NULL:
            raise MemoryError
        self._generations = generations
        memset(owners + self._room, 0, (room - self._room) * sizeof(PyObject*))
        memset(generations + self._room, 0, (room - self._room) * sizeof(uint32_t))
        self._room = room
        return 0

    # Descriptors of the Python side: the interface of select.epoll.

    def register(self, int fd, uint32_t events):
        """Report a descriptor that has no native owner."""
        cdef epoll_event event
        if fd >= self._room:
            self._grow(fd)
        event.events = events
        event.data.u64 = <uint64_t>self._generations[fd] << 32 | <uint32_t>fd
        if epoll_ctl(self._epoll, EPOLL_CTL_ADD, fd, &event):
            raise OSError(errno, os.strerror(errno))

    def modify(self, int fd, uint32_t events):
        """Report other events of such a descriptor."""
        if fd < 0 or fd >= self._room:
            raise OSError(f"the descriptor {fd} is not registered")
        self.rewatch(fd, events)

    def unregister(self, int fd):
        """Report it no more."""
        cdef epoll_event event
        if epoll_ctl(self._epoll, EPOLL_CTL_DEL, fd, &event):
            raise OSError(errno, os.strerror(errno))

    def close(self):
        """Watch nothing any more."""
        if self._epoll >= 0:
            close_fd(self._epoll)
            self._epoll = -1

    def poll(self, double timeout=-1, int most=-1):
        """Serve native descriptors for a lap at most; return (descriptor, events) of the others.

        Nothing is returned where nothing came in time, or nothing for anybody else.
        """
        cdef double ends = 0, lap
        cdef list ready
        while True:
            ready = self._turn(timeout)
            if ready is None or ready:
                return ready or []
            if ends == 0:
                lap = LAP_SECONDS if timeout < 0 or timeout > LAP_SECONDS else timeout
                ends = self.now + lap
            timeout = ends - self.now
            if timeout <= 0:
                return []

    cdef list _turn(self, double timeout):
        """Wait, and handle one batch; None if nothing came at all.

        A server that is faster than its clients is woken for each connection, and pays more for
        the waking than for the work. So when the last batch had a few fresh connections, nothing
        else, and came at once, the next one is given a moment to gather company.
        """
        cdef epoll_event events[MOST_EVENTS]
        cdef int count, i, fd, milliseconds
        cdef PyObject* owner
        cdef list ready = []
        cdef double began = 0
        cdef timespec nap
        milliseconds = -1 if timeout < 0 else <int>(timeout * 1000 + 0.999)
        with nogil:
            if self._trickles and milliseconds:
                nap.tv_sec = 0
                nap.tv_nsec = <long>(self._nap * 1e9)
                clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL)
            if self._nap > 0:
                began = monotonic()
            count = epoll_wait(self._epoll, events, MOST_EVENTS, milliseconds)
            self.now = monotonic()
        self._trickles = False
        if self._reactor is not None:
            self._reactor.now = self.now
        if count < 0:
            if errno == EINTR:
                raise InterruptedError(errno, os.strerror(errno))
            raise OSError(errno, os.strerror(errno))
        if count == 0:
            return None
        self.batch += 1
        self.fresh = self.others = 0
        for i in range(count):
            fd = <int><uint32_t>events[i].data.u64
            if self._generations[fd] != <uint32_t>(events[i].data.u64 >> 32):
                continue
            owner = self._owners[fd]
            if owner == NULL:
                self.others += 1
                ready.append((fd, events[i].events))
                continue
            Py_INCREF(<object>owner)
            try:
                (<Ready>owner).on_ready(fd, events[i].events)
            except Exception:
                self._failed(<object>owner)
            Py_DECREF(<object>owner)
        self._trickles = (
            self._nap > 0 and 0 < self.fresh < FEW and not self.others and self.now - began < AT_ONCE
        )
        return ready

    cdef int _failed(self, owner) except -1:
        """A handler broke, whose exception is at hand: the reactor says so, and ends its owner."""
        if self._reactor is None:
            raise
        self._reactor.failed(owner)
        return 0

    # Deadlines.

    cdef void schedule(self, Timed timed, double when) noexcept:
        """Look at it at `when`, or up to a tick later; sooner, if that is beyond the wheel."""
        cdef long tick = <long>(when / TICK_SECONDS) + 1
        cdef int slot
        if tick <= self._tick:
            tick = self._tick + 1
        elif tick > self._tick + SLOTS - 1:
            tick = self._tick + SLOTS - 1
        slot = <int>(tick % SLOTS)
        timed._slot = slot + 1
        timed._before = NULL
        timed._after = self._wheel[slot]
        if timed._after != NULL:
            (<Timed>timed._after)._before = <PyObject*>timed
        self._wheel[slot] = <PyObject*>timed
        self.scheduled_count += 1

    cdef void unschedule(self, Timed timed) noexcept:
        """Take it out of the wheel; harmless if it is not in it."""
        if timed._slot == 0:
            return
        if timed._before != NULL:
            (<Timed>timed._before)._after = timed._after
        else:
            self._wheel[timed._slot - 1] = timed._after
        if timed._after != NULL:
            (<Timed>timed._after)._before = timed._before
        timed._before = timed._after = NULL
        timed._slot = 0
        self.scheduled_count -= 1

    def sweep(self):
        """Look at everything whose time has come. Called once in each tick."""
        cdef long tick
        cdef double when
        cdef Timed timed
        self.now = monotonic()
        tick = <long>(self.now / TICK_SECONDS)
        if tick - self._tick > SLOTS:
            self._tick = tick - SLOTS
        while self._tick < tick:
            self._tick += 1
            for timed in self._in_slot(<int>(self._tick % SLOTS)):
                if timed._slot == 0:
                    continue            # it ended with one before it
                self.unschedule(timed)
                if self.now < timed.deadline:
                    when = timed.deadline
                    if timed.patience and self.now + timed.patience < when:
                        when = self.now + timed.patience
                    self.schedule(timed, when)
                    continue
                try:
                    timed.on_deadline()
                except Exception:
                    self._failed(timed)

    def _in_slot(self, int slot):
        """A list of what a slot of the wheel holds."""
        cdef PyObject* at = self._wheel[slot]
        cdef list found = []
        while at != NULL:
            found.append(<object>at)
            at = (<Timed>at)._after
        return found

    def scheduled(self):
        """Everything that is scheduled: every native connection that has not ended."""
        cdef int slot
        found = []
        for slot in range(SLOTS):
            if self._wheel[slot] != NULL:
                found += self._in_slot(slot)
        return found
