"""Reaching an upstream: one target of a pool after the other, until one takes the connection.

The first bytes are sent as soon as may be: an upstream that is near has accepted by then. Where
the connection is not there yet, its descriptor is watched edge-triggered for all that may come, as
it will be afterwards, so that it is told to epoll once in its life.
"""

from libc.errno cimport EAGAIN, ENOTCONN, errno
from libc.stdint cimport uint8_t, uint32_t

from gate.native.engine cimport Timed
from gate.native.libc cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, MSG_NOSIGNAL, close, send,
)
from gate.native.plane cimport NativePlane, Target, is_out_of_resources


cdef class Dialling(Timed):
    def __cinit__(self):
        self.dialled = -1

    cdef int dial(self, Target target) except -1:
        """Try the targets of `pool`, `target` first; `connected` or `unreachable` is called."""
        self._tries = len(self.pool.targets)
        return self._next(target, REFUSED)

    cdef int _next(self, Target target, Missed missed) except -1:
        """Try targets until one is connected, one is under way, or all have failed."""
        cdef NativePlane plane = self.plane
        cdef const uint8_t* data
        cdef Py_ssize_t size = 0
        cdef ssize_t sent
        cdef int fd
        while self._tries > 0:
            self._tries -= 1
            if target is None:
                target = self.pool.pick(plane.engine.now)
            self.target = target
            fd = plane.dial(target)
            if fd < 0:
                missed = self._failed(target, -fd)
                target = None
                continue
            data = self.first_bytes(&size)
            sent = send(fd, data, size, MSG_NOSIGNAL)
            if sent < 0 and errno != EAGAIN and errno != ENOTCONN:
                missed = self._failed(target, errno)
                close(fd)
                target = None
                continue
            if sent < 0:
                try:
                    plane.engine.watch(
                        fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET, self
                    )
                except OSError:
                    close(fd)
                    raise
                self.dialled = fd
                self._dial_began = plane.engine.now
                return 0
            target.works()
            plane.connected_at_once += 1
            return self.connected(fd, False, sent)
        return self.unreachable(missed)

    cdef int on_dialled(self, uint32_t events) except -1:
        """The descriptor that is being connected is ready."""
        cdef NativePlane plane = self.plane
        cdef Target target = self.target
        cdef int fd = self.dialled
        cdef Py_ssize_t size = 0
        cdef const uint8_t* data = self.first_bytes(&size)
        cdef ssize_t sent = 0
        if events & (EPOLLERR | EPOLLHUP):
            self.stop_dialling()
            target.failed(plane)
            return self._next(None, REFUSED)
        sent = send(fd, data, size, MSG_NOSIGNAL)
        if sent < 0:
            if errno != EAGAIN and errno != ENOTCONN:
                missed = self._failed(target, errno)
                self.stop_dialling()
                return self._next(None, missed)
            if errno == ENOTCONN or not events & EPOLLOUT:
                return 0
            sent = 0
        self.dialled = -1
        plane.counters.connected(plane.engine.now - self._dial_began)
        target.works()
        return self.connected(fd, True, sent)

    cdef int dial_timed_out(self) except -1:
        """Give up on a target that does not answer, and try the next."""
        self.stop_dialling()
        self.target.failed(self.plane)
        if self._tries:
            return self._next(None, REFUSED)
        return self.unreachable(SLOW)

    cdef int stop_dialling(self) except -1:
        """Close the descriptor that is being connected, if there is one."""
        cdef int fd = self.dialled
        if fd >= 0:
            self.dialled = -1
            self.plane.engine.drop(fd)
        return 0

    cdef Missed _failed(self, Target target, int number) except *:
        """What a failed try is to be called; counted if it is the target's fault."""
        if is_out_of_resources(number):
            return EXHAUSTED
        target.failed(self.plane)
        return REFUSED

    cdef const uint8_t* first_bytes(self, Py_ssize_t* size) noexcept:
        """What is sent first."""
        size[0] = 0
        return NULL

    cdef int connected(self, int fd, bint watched, Py_ssize_t sent) except -1:
        """The upstream is there, and has taken `sent` of the first bytes.

        `watched` says that the engine has `fd` with this as its owner.
        """
        raise NotImplementedError

    cdef int unreachable(self, Missed missed) except -1:
        """Every target was tried in vain; `missed` is what befell the last one."""
        raise NotImplementedError
