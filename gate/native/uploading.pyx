"""What is left of a request once its first part is sent: the rest of that, and of its body.

Only bodies of a known length; a chunked one is the Python plane's. What happens in which order is
what gate/proxy/http/exchange.py and relay.py do.
"""

cimport cython
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport int64_t, uint8_t

from gate.native.client_side cimport READING, RESPONDING, SENDING, TURNS, WAITING
from gate.native.engine cimport Engine
from gate.native.flow cimport (
    AGAIN, BLOCKED, ENDED, SINK_BROKE, SOURCE_BROKE, STARVED, Flow, Moved, hold, open_flow, pump,
)
from gate.native.libc cimport EPOLLOUT, MSG_DONTWAIT, MSG_PEEK, recv
from gate.native.plane cimport PEER_RESET, TRUNCATED, NativePlane
from gate.native.response cimport Responding
from gate.native.upstream cimport Upstream


@cython.no_gc
cdef class Uploading(Responding):
    """A client's connection that may have more of a request to come."""

    cdef int _upload(self, const uint8_t* unsent, Py_ssize_t size) except -1:
        """Relay what the upstream did not take of the first part, and what is left of the body."""
        cdef Upstream upstream = self._upstream
        open_flow(&self._up, self.fd, upstream.fd, self._left)
        self._phase = SENDING
        self._uploading = self._unsure = True
        self._wait(self.plane.sending_seconds)
        if size == 0:
            return self._pump_up()
        hold(&self._up, unsent, size)
        upstream.wants_out = True
        return self.plane.engine.rewatch(upstream.fd, READING | EPOLLOUT)

    cdef int _pump_up(self) except -1:
        """Move what can be moved of the body to the upstream."""
        cdef NativePlane plane = self.plane
        cdef Engine engine = plane.engine
        cdef Flow* flow = &self._up
        cdef Upstream upstream = self._upstream
        cdef Moved progress = AGAIN
        cdef int64_t before = flow.moved, moved
        cdef int turns = TURNS
        cdef bint behind = self._hung_up or self._urgent
        cdef bint bulk
        while turns:
            turns -= 1
            moved, bulk = flow.moved, flow.bulk
            progress = pump(flow, engine.incoming, False, 0)
            if progress == STARVED and behind and (flow.moved != moved or bulk):
                flow.bulk = False       # a splice may find nothing where a read finds something
            elif progress != AGAIN:
                break
        if progress == SOURCE_BROKE or progress == SINK_BROKE:
            return self._upload_broke()
        plane.bytes_up += flow.moved - before
        if progress == ENDED:
            return self._end(TRUNCATED, True) if flow.limit else self._uploaded()
        self._wait(plane.sending_seconds)
        if progress == BLOCKED:
            upstream.wants_out = True
            return engine.rewatch(upstream.fd, READING | EPOLLOUT)
        if progress == AGAIN or turns == 0:     # reported anew, after others
            return engine.rewatch(self.fd, READING | EPOLLOUT if self._wants_out else READING)
        return 0

    cdef int _uploaded(self) except -1:
        """The upstream has all of the request."""
        self._stop_upload()
        self._whole = True
        self._upstream.wants_out = False
        if self._phase == SENDING:
            self._phase = WAITING
        return self._wait(
            self.plane.responding_seconds if self._phase == RESPONDING
            else self.plane.waiting_seconds
        )

    cdef int _upload_broke(self) except -1:
        """A side has broken: the client, or an upstream that may have answered already."""
        cdef uint8_t byte
        cdef ssize_t count = recv(self.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
        if count == 0 or (count < 0 and errno != EAGAIN):
            return self._end(PEER_RESET, True)
        self._closes = True
        self._usable = False
        self._stop_upload()
        return 0
