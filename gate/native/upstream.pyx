"""Connections to HTTP upstreams: one exchange at a time, kept for reuse between exchanges.

Each is watched once for its whole life, edge-triggered.
"""

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t, uint32_t

from gate.native.dialling cimport Dialling
from gate.native.engine cimport Ready
from gate.native.libc cimport (
    EPOLLET, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, IPPROTO_TCP, MSG_DONTWAIT, MSG_PEEK, TCP_NODELAY,
    close as close_fd, recv, setsockopt,
)
from gate.native.plane cimport NativePlane, Target, TargetPool
from gate.native.sockets cimport reset_on_close


cdef class Exchanging(Dialling):
    cdef int on_upstream(self, uint32_t events) except -1:
        """The upstream's socket is ready."""
        raise NotImplementedError

    cdef int on_upstream_ended(self) except -1:
        """The kept connection had ended, or was out of step, before the request was sent."""
        raise NotImplementedError


cdef class Upstream(Ready):
    def __cinit__(self):
        self.fd = -1

    def abort(self, str cause="aborted"):
        """End the exchange that it serves, with resets; or the connection, if it serves none."""
        if self.owner is not None:
            self.owner.cut(cause)
        elif self.fd >= 0:
            self._leave_idle()
            self.close(True)

    cdef int on_ready(self, int fd, uint32_t events) except -1:
        """Hand readiness to the exchange; between exchanges it can only mean the end."""
        cdef Exchanging owner = self.owner
        self.plane.engine.others += 1
        if events & EPOLLRDHUP:
            self.end_in_sight = True
        self.urgent = events & EPOLLPRI
        if owner is None:
            if not events & ~<uint32_t>EPOLLOUT:
                return 0
            self._leave_idle()
            return self.close(False)
        if self.reused and self.taken == self.plane.engine.batch:
            # Seen by the kernel before the request was sent: the end, or bytes that nobody has
            # asked for, which must not be taken for the response.
            return owner.on_upstream_ended()
        return owner.on_upstream(events)

    cdef bint is_stale(self) noexcept:
        """Whether it has ended, or sent what nobody asked for."""
        cdef uint8_t byte
        cdef ssize_t count = recv(self.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
        return count >= 0 or errno != EAGAIN

    cdef bint is_behind(self) noexcept:
        """Whether there may be something behind a short read: only one that finds nothing tells."""
        return self.end_in_sight or self.urgent

    cdef int release(self) except -1:
        """Keep the connection for the next exchange, or close it if enough are kept."""
        cdef Target target = self.target
        if target.idle_count >= self.plane.most_idle or self.end_in_sight or self.wants_out:
            return self.close(False)
        self.owner = None
        self.reused = True
        self.idle_since = self.plane.engine.now
        self.next_idle = target.idle
        target.idle = self
        target.idle_count += 1
        return 0

    cdef int close(self, bint cut) except -1:
        """Close it for good, with a reset if it is `cut`."""
        cdef int fd = self.fd
        self.owner = None
        self.fd = -1
        if fd >= 0:
            if cut:
                reset_on_close(fd)
            self.plane.engine.drop(fd)
        return 0

    cdef int _leave_idle(self) except -1:
        """Take it out of those that are kept."""
        cdef Target target = self.target
        cdef Upstream before = None
        cdef Upstream at = target.idle
        while at is not None and at is not self:
            before = at
            at = at.next_idle
        if at is None:
            return 0
        if before is None:
            target.idle = self.next_idle
        else:
            before.next_idle = self.next_idle
        self.next_idle = None
        target.idle_count -= 1
        return 0


cdef Upstream new_upstream(
    NativePlane plane, Target target, int fd, bint watched, Exchanging owner
):
    """A connection that is there, for an exchange; `watched` says that the engine has it."""
    cdef Upstream upstream = Upstream.__new__(Upstream)
    cdef int one = 1
    upstream.plane = plane
    upstream.target = target
    upstream.owner = owner
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
    if watched:
        plane.engine.assign(fd, upstream)
    else:
        try:
            plane.engine.watch(fd, EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET, upstream)
        except OSError:
            close_fd(fd)
            raise
    upstream.fd = fd
    return upstream


cdef Upstream take_idle(Target target):
    """A kept connection to a target, or None."""
    cdef Upstream upstream = target.idle
    if upstream is not None:
        target.idle = upstream.next_idle
        target.idle_count -= 1
        upstream.next_idle = None
    return upstream


cdef int take_descriptor(Target target, NativePlane plane) except -2:
    """A kept connection's descriptor, open and not watched, for the Python plane; -1: none."""
    cdef Upstream upstream = take_idle(target)
    cdef int fd
    if upstream is None:
        return -1
    fd = upstream.fd
    upstream.fd = -1
    plane.engine.let_go(fd)
    return fd


cdef int close_unused(NativePlane plane, double since) except -1:
    """Close those that nobody has used since then (monotonic seconds)."""
    cdef Target target
    for target in plane.targets.values():
        _close_idle(target, since)
    return 0


cdef int _close_idle(Target target, double since) except -1:
    """Close those to a target that nobody has used since then."""
    cdef Upstream after
    cdef Upstream at = target.idle
    while at is not None:
        after = at.next_idle
        if at.idle_since < since:
            at._leave_idle()
            at.close(False)
        at = after
    return 0


def forget_pool(NativePlane plane not None, pool):
    """Forget a pool that no traffic takes any more, and close the kept connections of its targets.

    No other pool may share its endpoints.
    """
    cdef Target target
    cdef TargetPool known = plane.pools.pop(pool, None)
    if known is None or known.targets is None:
        return
    for target in known.targets:
        _close_idle(target, float("inf"))


def close_kept(NativePlane plane not None, double since=float("inf")):
    """Close the kept connections that nobody has used since then (monotonic seconds)."""
    close_unused(plane, since)


def give_kept(NativePlane plane not None, endpoint):
    """Give a kept connection to an endpoint away: its descriptor, -1 if there is none."""
    target = plane.targets.get(endpoint)
    return -1 if target is None else take_descriptor(target, plane)
