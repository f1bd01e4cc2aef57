"""A client's HTTP connection with plain requests, one after the other.

A request that is not plain, or whose head does not come whole and with nothing behind the request
in one read, is handed over to the Python plane, with its connection, before anything of it was acted
upon. Its body (uploading.pyx) and the response (response.pyx) always stay here.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from gate.native.client_side cimport (
    BUSY, CONNECTING, FLUSH, GONE, IDLE, LINGER, READ_BYTES, READING, RESPONDING, WAITING,
)
from gate.native.dialling cimport EXHAUSTED, SLOW, Missed
from gate.native.engine cimport Engine
from gate.native.flow cimport Flow, is_blocked
from gate.native.libc cimport (
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, MSG_NOSIGNAL, recv, send,
)
from gate.native.listening cimport Listening
from gate.native.plane cimport (
    ANSWERED, BROKEN_RESPONSE, CLOSED, DIAL_EXHAUSTED, DRAINED, HTTP, IDLED, PEER_RESET, TIMED_OUT,
    NativePlane, Target, TargetPool,
)
from gate.native.request_head cimport RequestHead, read_request
from gate.native.uploading cimport Uploading
from gate.native.upstream cimport Upstream, new_upstream, take_idle
from gate.native.verdicts cimport HeldVerdict


@cython.final
@cython.no_gc
cdef class Client(Uploading):
    """One client's connection. It has been admitted, and ends by itself."""

    # What the Python plane looks at.

    @property
    def connection(self):
        """What has its listener and its verdict: the client itself."""
        return self

    @property
    def listener(self):
        return self.listening.listener

    @property
    def state(self):
        """Where it stands: the name of a state of gate/proxy/http/states.py, or GONE."""
        return ("IDLE", "BUSY", "FLUSH", "LINGER", "GONE")[<int>self._state]

    @property
    def blocked(self):
        """Whether bytes wait for either side."""
        return bool(is_blocked(&self._up) or is_blocked(&self._down))

    def __str__(self):
        return self.plane.name(self.listening.listener, self.number)

    def hurry_now(self):
        """In a drain, leave an idle connection time for a request that may be under way, at most."""
        if self._state == IDLE:
            self.deadline = min(self.deadline, self.plane.engine.now + self.plane.drain_seconds)
            self.plane.engine.unschedule(self)
            self._settle_in()

    def end_if_idle(self):
        """End a connection between two requests, as a drain does at its deadline."""
        if self._state == IDLE:
            self._end(DRAINED, False)

    # Events.

    cdef int on_ready(self, int fd, uint32_t events) except -1:
        self.plane.engine.others += 1
        if fd == self.dialled:
            return self.on_dialled(events)
        if events & EPOLLRDHUP:
            self._hung_up = True
        if events & EPOLLPRI:
            self._urgent = True
        if self._state == IDLE:
            return self._read()
        if events & EPOLLERR or (self._state == FLUSH and events & EPOLLHUP):
            return self._end(PEER_RESET, True)
        if self._uploading:
            if events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP) and not is_blocked(&self._up):
                self._pump_up()
                if self._state == GONE:
                    return 0
        elif events & (EPOLLIN | EPOLLRDHUP):
            self._unread = True
            if self._state == LINGER:
                return self._discard()
        if events & EPOLLOUT and self._down.held != NULL or self._down.pipe.inside:
            return self._flush()
        return 0

    cdef int on_upstream(self, uint32_t events) except -1:
        if events & EPOLLOUT and self._uploading:
            self._pump_up()
        if self._upstream is None or not events & ~<uint32_t>EPOLLOUT:
            return 0
        if self._phase == RESPONDING:
            return self._relay()
        return self._read_response()

    cdef int on_deadline(self) except -1:
        cdef Engine engine = self.plane.engine
        if self._state == IDLE:
            return self._end(DRAINED if self.plane.draining else IDLED, False)
        if self._state != BUSY or self._phase == RESPONDING:
            return self._end(TIMED_OUT, True)
        if self.dialled >= 0:
            self.dial_timed_out()
            if self.dialled >= 0:
                self.deadline = engine.now + self.plane.connect_seconds
        elif self._uploading and not is_blocked(&self._up):
            self._drop_upstream()       # it is the client that is waited for
            self._fail("body_timeout")
        else:
            if self._upstream is not None:
                self._upstream.target.failed(self.plane)
            self._drop_upstream()
            self._fail("no_response")
        if self._state != GONE:
            engine.unschedule(self)
            self._settle_in()
        return 0

    # Requests.

    cdef int begin(
        self, const uint8_t* buf, Py_ssize_t size, RequestHead* head, TargetPool pool
    ) except -1:
        """Begin with a request that is let through; the socket is not watched yet."""
        self._down.sink = self.fd
        self._wait(self.plane.waiting_seconds)
        self._settle_in()
        if not head.close or head.size + head.length > size:
            self._watch(False)
        return self._forward(buf, size, head, pool)

    cdef int _read(self) except -1:
        """Between requests: a head, or the end."""
        cdef uint8_t* buf = self.plane.engine.incoming
        cdef ssize_t count = recv(self.fd, buf, READ_BYTES, 0)
        self._unread = count == READ_BYTES or self._hung_up     # the end is reported once
        if count < 0:
            return 0 if errno == EAGAIN else self._end(PEER_RESET, True)
        if count == 0:
            return self._end(CLOSED, False)
        return self._take(buf, count)

    cdef int _take(self, const uint8_t* buf, Py_ssize_t size) except -1:
        """Judge a request and act on it; or let the Python plane do it."""
        cdef NativePlane plane = self.plane
        cdef RequestHead head
        cdef Py_ssize_t path_size
        cdef HeldVerdict verdict
        cdef TargetPool pool
        cdef bytes host
        if not read_request(buf, size, &self.onward.limits, &head):
            return self._hand_over(buf, size)
        if head.size + max(head.length, 0) < size:
            return self._hand_over(buf, size)
        host = PyBytes_FromStringAndSize(<const char*>buf + head.host.at, head.host.size)
        judged = plane.ring.look_up(host)
        if type(judged) is not HeldVerdict:
            plane.leave_to_python(host, judged)
            return self._hand_over(buf, size)
        verdict = judged
        if not verdict.allowed and self.listening.enforces():
            path_size = plane.path_told(buf, &head)
            if path_size < 0 or head.length >= 0 or plane.is_own_name(verdict):
                plane.leave_to_python(host, judged)
                return self._hand_over(buf, size)
            plane.requests += 1
            self.verdict = verdict
            self.listening.blocks(HTTP, verdict, self._address, NULL, self.number)
            return self._turn_away(buf + head.target.at, path_size, size == READ_BYTES)
        pool = self.listening.pool_for(HTTP, verdict)
        if pool is None:
            plane.leave_to_python(host, judged)
            return self._hand_over(buf, size)
        self.verdict = verdict
        self.listening.passes(HTTP, verdict, self._address, self.number)
        return self._forward(buf, size, &head, pool)

    cdef int _turn_away(self, const uint8_t* path, Py_ssize_t path_size, bint full) except -1:
        """Send a visitor to the notice page, and close.

        Behind a read that was `full` there may be more; behind a short one is the end at most, which
        a close leaves unread without harm.
        """
        cdef NativePlane plane = self.plane
        cdef uint8_t* out = plane.engine.outgoing
        cdef Py_ssize_t size = plane.write_redirect(self.verdict, path, path_size, out)
        plane.respond(302)
        self._state = BUSY
        self._closes = True
        plane.bytes_down += size
        self._give(out, size, True)
        if self._down.held != NULL:
            return self._flush_and(True)
        return self._linger() if full else self._end(ANSWERED, False)

    cdef int _hand_over(self, const uint8_t* buf, Py_ssize_t size) except -1:
        """The Python plane takes the connection, with what was read of it."""
        cdef Engine engine = self.plane.engine
        cdef bytes data = PyBytes_FromStringAndSize(<const char*>buf, size)
        cdef int fd = self.fd
        self._state = GONE
        self.fd = -1
        engine.unschedule(self)
        if self._watched:
            engine.let_go(fd)
        try:
            self.plane.adopt(
                self.listening.listener, fd, self.listening.family, self._address, self.number, data
            )
        finally:
            self.plane.ring.again = None
        return 0

    cdef int _hand_over_own(self) except -1:
        """The Python plane takes a connection that has its upstream connection for itself."""
        cdef Engine engine = self.plane.engine
        cdef Upstream own = self._own
        cdef int fd = self.fd, upstream_fd = own.fd
        self._state = GONE
        self._own = None
        self.fd = own.fd = -1
        engine.unschedule(self)
        if self._watched:
            engine.let_go(fd)
        if upstream_fd >= 0:            # else it has ended meanwhile
            engine.let_go(upstream_fd)
        self.plane.adopt_own(
            self.listening.listener, fd, self.listening.family, self._address, self.number,
            self.verdict, upstream_fd, own.target.endpoint,
        )
        return 0

    # Asking an upstream.

    cdef int _forward(
        self, const uint8_t* buf, Py_ssize_t came, RequestHead* head, TargetPool pool
    ) except -1:
        """Ask for a request, of which `came` bytes are there."""
        cdef NativePlane plane = self.plane
        cdef Py_ssize_t size = head.method.size, body = came - head.size
        plane.requests += 1
        self._state = BUSY
        self._closes = head.close or plane.draining
        self._usable = True
        self._authenticates = False
        self._interims = 0
        self._heard = None
        self._chunks = None
        self._tail_size = 0
        self._left = max(head.length, 0) - body
        self._whole = self._left == 0
        self._unsure = False
        self._to_head = size == 4 and memcmp(buf, b"HEAD", 4) == 0
        self._idempotent = (            # RFC 9110 9.2.2
            self._to_head
            or (size == 3 and (memcmp(buf, b"GET", 3) == 0 or memcmp(buf, b"PUT", 3) == 0))
            or (size == 7 and memcmp(buf, b"OPTIONS", 7) == 0)
            or (size == 6 and memcmp(buf, b"DELETE", 6) == 0)
        )
        # What has been sent of a request that is not all there cannot be sent again.
        self._idempotent = self._idempotent and self._whole
        self._serialise(buf, body, head)
        self.pool = pool
        return self._ask(pool.pick(plane.engine.now))

    cdef int _serialise(self, const uint8_t* buf, Py_ssize_t body, RequestHead* head) except -1:
        """Write the request as the upstream is to get it."""
        if self._told is None:
            self._told = self.onward.fields_of(self._address)
        self._forget_request()
        self._request = self.onward.serialise(
            buf, head, body, self._address, self._told, &self._request_size
        )
        return 0

    cdef int _ask(self, Target target) except -1:
        """Send the request on a kept connection, or on a new one."""
        cdef NativePlane plane = self.plane
        cdef Upstream upstream = take_idle(target)
        cdef ssize_t sent
        if upstream is None:
            return self._ask_anew(target)
        upstream.owner = self
        upstream.taken = plane.engine.batch
        # What is written to a connection that has ended may count as sent (RFC 9110 9.2.2).
        if not self._idempotent and upstream.is_stale():
            upstream.close(False)
            return self._ask_anew(target)
        sent = send(upstream.fd, self._request, self._request_size, MSG_NOSIGNAL)
        if sent < 0:
            if errno != EAGAIN:
                upstream.close(False)
                return self._ask_anew(target)
            sent = 0
        self._upstream = upstream
        plane.bytes_up += self._request_size
        return self._sent(sent)

    cdef int _ask_anew(self, Target target) except -1:
        """Dial a connection for the request, `target` first (None: whose turn it is)."""
        self._phase = CONNECTING
        if target is None:
            target = self.pool.pick(self.plane.engine.now)
        self._wait(min(self.plane.connect_seconds, self.plane.waiting_seconds))
        return self.dial(target)

    cdef const uint8_t* first_bytes(self, Py_ssize_t* size) noexcept:
        size[0] = self._request_size
        return self._request

    cdef int connected(self, int fd, bint watched, Py_ssize_t sent) except -1:
        self._upstream = new_upstream(self.plane, self.target, fd, watched, self)
        self.plane.bytes_up += self._request_size
        return self._sent(sent)

    cdef int unreachable(self, Missed missed) except -1:
        if missed == EXHAUSTED:
            self.plane.end(DIAL_EXHAUSTED)
            return self._fail("exhausted")
        return self._fail("connect_timeout" if missed == SLOW else "unreachable")

    cdef int _sent(self, Py_ssize_t sent) except -1:
        """The upstream has taken so much of the request's first part."""
        if sent < self._request_size or not self._whole:
            return self._upload(self._request + sent, self._request_size - sent)
        self._phase = WAITING
        return self._wait(self.plane.waiting_seconds)

    cdef int on_upstream_ended(self) except -1:
        cdef Upstream upstream = self._upstream
        cdef Target target = upstream.target
        cdef bint reused = upstream.reused
        self._drop_upstream()
        if self._phase == RESPONDING:
            return self._end(BROKEN_RESPONSE, True)
        if not reused:
            target.failed(self.plane)
        elif self._idempotent:
            return self._ask_anew(None)     # it was dead: ask again on a new one
        else:
            # A request may have met the end of a kept connection, which must not be asked again
            # (RFC 9110 9.2.2): it has failed, though the endpoint may be well.
            target.endpoint.failed_once()
        return self._fail("broke_off")

    # Between exchanges.

    cdef int _complete(self) except -1:
        """The response is with the client, or held for it."""
        cdef Upstream upstream = self._upstream
        self._upstream = None
        if self._uploading:
            self._stop_upload()
            self._usable = False
        self._forget_request()
        self._chunks = None
        if upstream is not None:
            if self._usable and not self._authenticates:
                upstream.release()
            elif self._closes or not self._authenticates:
                upstream.close(False)
            else:
                self._own = upstream    # it speaks for this client only from now on, or its like does
                upstream.owner = None
                if not self._usable:
                    upstream.close(False)
        return self._done()

    cdef int _done(self) except -1:
        if self._down.held != NULL:
            return self._flush_and(self._closes)
        if not self._closes:
            return self._next_request()
        # A close on unread bytes is a reset, which may cost the client the response. A client that
        # is not watched may have sent some.
        if not self._unread and (not self._watched or self._unsure):
            self._unread = recv(self.fd, self.plane.engine.incoming, READ_BYTES, 0) > 0
        return self._linger() if self._unread or not self._whole else self._end(CLOSED, False)

    cdef int _next_request(self) except -1:
        if self._own is not None:
            return self._hand_over_own()
        self._state = IDLE
        self._wait(self.plane.drain_seconds if self.plane.draining else self.plane.idle_seconds)
        if not self._watched:
            self._watch(False)          # what is there already is reported
        elif self._unread or self._unsure:
            return self._read()
        return 0

    cdef int _flush(self) except -1:
        """The client takes more of what is held for it."""
        cdef ssize_t sent
        cdef Flow* flow = &self._down
        if flow.pipe.inside:
            return self._relay()
        sent = send(self.fd, flow.held + flow.held_at, flow.held_size, MSG_NOSIGNAL)
        if sent < 0:
            return 0 if errno == EAGAIN else self._end(PEER_RESET, True)
        self._wait(self.plane.flush_seconds)
        flow.held_at += <int>sent
        flow.held_size -= <int>sent
        if flow.held_size:
            return 0
        PyMem_Free(flow.held)
        flow.held = NULL
        if self._state == FLUSH:
            return self._linger() if self._closes else self._next_request()
        if self._state == BUSY and self._phase == RESPONDING:
            return self._relay()
        return 0
