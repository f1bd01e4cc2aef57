"""The client's side of an HTTP connection: what it is sent, and the end of it.

The states and phases are those of gate/proxy/http/states.py. The client's socket is watched
edge-triggered, and only once it must be: a connection for one request never is. What it sends while
an exchange is under way waits in the kernel; `_unread` remembers it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t

from gate.native.engine cimport BUFFER, Engine
from gate.native.flow cimport close_flow, hold, open_flow
from gate.native.libc cimport (
    EPOLLOUT, MSG_MORE, MSG_NOSIGNAL, SHUT_WR, close as close_fd, recv, send, shutdown,
)
from gate.native.plane cimport CLOSED, PEER_RESET, Cause, NativePlane
from gate.native.sockets cimport reset_on_close
from gate.native.upstream cimport Exchanging, Upstream


@cython.no_gc
cdef class ClientSide(Exchanging):
    """A client's connection that may have an exchange under way."""

    def __cinit__(self):
        self.fd = -1
        open_flow(&self._down, -1, -1, 0)
        open_flow(&self._up, -1, -1, 0)

    def __dealloc__(self):
        PyMem_Free(self._request)
        close_flow(&self._down)
        close_flow(&self._up)

    cdef int _wait(self, double seconds) except -1:
        self.deadline = self.plane.engine.now + seconds
        return 0

    cdef int _settle_in(self) except -1:
        """Have the wheel look at the deadline: no later than any that may be set until then."""
        cdef Engine engine = self.plane.engine
        self.patience = self.plane.shortest
        engine.schedule(self, min(self.deadline, engine.now + self.patience))
        return 0

    cdef int _give(self, const uint8_t* data, Py_ssize_t size, bint last) except -1:
        """Send to the client, and hold what it does not take now.

        The end that follows the last bytes goes with them. A broken connection takes everything:
        its end is noticed later.
        """
        cdef ssize_t sent
        if size == 0:
            return 0
        if self._down.held != NULL:
            return hold(&self._down, data, size)
        sent = send(
            self.fd, data, size,
            MSG_NOSIGNAL | (MSG_MORE if last and self._closes and not self._unread else 0),
        )
        if sent < 0:
            if errno != EAGAIN:
                return 0
            sent = 0
        if sent < size:
            hold(&self._down, data + sent, size - sent)
            self._watch(True)
        return 0

    cdef int _flush_and(self, bint close) except -1:
        self._state = FLUSH
        self._closes = close
        return self._wait(self.plane.flush_seconds)

    cdef int _watch(self, bint out) except -1:
        """Watch the client, for what it takes as well if `out`."""
        cdef Engine engine = self.plane.engine
        if not self._watched:
            engine.watch(self.fd, READING | EPOLLOUT if out else READING, self)
            self._watched = True
        elif out and not self._wants_out:
            engine.rewatch(self.fd, READING | EPOLLOUT)
        self._wants_out = self._wants_out or out
        return 0

    cdef int _linger(self) except -1:
        """End our side and discard what comes, so that no reset overtakes the response."""
        if shutdown(self.fd, SHUT_WR):
            return self._end(PEER_RESET, True)
        self._state = LINGER
        self._wait(self.plane.linger_seconds)
        self.plane.engine.unschedule(self)
        self._settle_in()
        self._watch(False)
        return self._discard()

    cdef int _discard(self) except -1:
        cdef Engine engine = self.plane.engine
        cdef ssize_t count = 1
        cdef int turns = TURNS
        while count > 0 and turns:      # until it says that there is no more: the end is reported once
            turns -= 1
            count = recv(self.fd, engine.incoming, BUFFER, 0)
        if count > 0:
            return engine.rewatch(self.fd, READING)
        if count == 0:
            return self._end(CLOSED, False)
        return 0 if errno == EAGAIN else self._end(PEER_RESET, True)

    cdef int _refuse(self, int status, str detail) except -1:
        """Answer with an error and close. The client has been sent no part of a response yet."""
        cdef NativePlane plane = self.plane
        cdef bytes data = plane.answers.refusal(status, detail, to_head=bool(self._to_head))
        plane.respond(status)
        plane.bytes_down += PyBytes_GET_SIZE(data)
        self._forget_request()
        self._give(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), False)
        if self._down.held != NULL:
            return self._flush_and(True)
        return self._linger()

    cdef int _fail(self, str failure) except -1:
        """There will be no response from an upstream."""
        status, detail = self.plane.failures[failure]
        return self._refuse(status, detail)

    cdef int _drop_upstream(self) except -1:
        """Cut the upstream connection, so that half a request is never taken for a whole one."""
        cdef Upstream upstream = self._upstream
        self._upstream = None
        self._stop_upload()
        if upstream is not None:
            upstream.close(True)
        return 0

    cdef void _stop_upload(self) noexcept:
        """Relay no more of the request; what the client sends yet stays in the kernel."""
        self._uploading = False
        close_flow(&self._up)

    cdef void _forget_request(self) noexcept:
        PyMem_Free(self._request)
        self._request = NULL

    cdef int cut(self, str cause) except -1:
        if self._state == GONE:
            return 0
        self._close(True)
        self.plane.end_for(cause)
        return 0

    cdef int _end(self, Cause cause, bint cut) except -1:
        if self._state == GONE:
            return 0
        self._close(cut)
        self.plane.end(cause)
        return 0

    cdef int _close(self, bint cut) except -1:
        """Let go of everything, and count it out."""
        cdef Engine engine = self.plane.engine
        self._state = GONE
        engine.unschedule(self)
        self.stop_dialling()
        self._drop_upstream()
        if self._own is not None:
            self._own.close(False)
        close_flow(&self._down)
        self._forget_request()
        self._chunks = None
        if cut:
            reset_on_close(self.fd)
        self.plane.leave(self._address)
        if self._host is not None:
            self.plane.leave_host(self._host)
        if self._watched:
            engine.drop(self.fd)
        else:
            close_fd(self.fd)
        return 0
