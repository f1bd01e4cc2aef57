"""Responses: read from the upstream, and given to the client as the gate writes them.

A head that is not plain is read by the Python parser, and an odd chunked body by its ChunkedBody.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from gate.native.body cimport (
    CHUNKED, CLOSE, DONE, LENGTH, ODD, Framing, Progress, begin_body, take_body,
)
from gate.native.client_side cimport READ_BYTES, READING, RESPONDING, TURNS, ClientSide
from gate.native.engine cimport BUFFER, HEADROOM, Engine
from gate.native.flow cimport (
    AGAIN, BLOCKED, ENDED, SINK_BROKE, SOURCE_BROKE, STARVED, Flow, Moved, pump,
)
from gate.native.libc cimport MSG_MORE, recv
from gate.native.plane cimport BROKEN_RESPONSE, NativePlane
from gate.native.response_head cimport ResponseHead, read_response
from gate.native.template cimport (
    FIELDS, LENGTH_VALUE, STATUS_AND_REASON, Template, put, put_number,
)
from gate.native.upstream cimport Upstream

cdef enum:
    MOST_INTERIMS = 100


@cython.no_gc
cdef class Responding(ClientSide):
    """A client's connection that may have a response under way."""

    # Heads.

    cdef int _read_response(self) except -1:
        cdef NativePlane plane = self.plane
        cdef uint8_t* buf = plane.engine.incoming
        cdef ssize_t count = recv(self._upstream.fd, buf, BUFFER, 0)
        cdef Py_ssize_t at = 0
        cdef bint full = count == BUFFER
        cdef ResponseHead head
        cdef bytes heard = self._heard
        if count < 0 and errno == EAGAIN:
            return 0
        if count <= 0:
            return self.on_upstream_ended()
        if heard is not None:
            heard += PyBytes_FromStringAndSize(<const char*>buf, count)
            return self._odd_response(heard, PyBytes_GET_SIZE(self._heard), full)
        while at < count:
            if not read_response(
                buf + at, count - at, self._to_head, &plane.response_limits, &head
            ):
                heard = PyBytes_FromStringAndSize(<const char*>buf + at, count - at)
                return self._odd_response(heard, 0, full)
            if head.status >= 200:
                return self._respond(buf + at, count - at, &head, full)
            plane.respond(head.status)
            if self._interim(
                plane.engine.outgoing,
                self._write_head(plane.engine.outgoing, buf + at, &head, False),
            ):
                return 0
            at += head.size
        return self._read_response() if full or self._upstream.is_behind() else 0

    cdef int _interim(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Pass on a response that is not the final one (RFC 9110 15.2); 1 if that is the end."""
        self._upstream.reused = False   # it lives: if it breaks now, that is a failure of its own
        self._interims += 1
        if self._interims > MOST_INTERIMS:
            self._refuse_response("endless_interims")
            return 1
        if self._down.held == NULL:
            self.plane.bytes_down += size
            self._give(data, size, False)
        return 0

    cdef int _write_head(
        self, uint8_t* out, const uint8_t* buf, ResponseHead* head, bint close
    ) except -1:
        """Write a response's head as the client is to get it; return its size.

        `out` has room for twice a read, which is more than what was in one read can become.
        """
        cdef Template template
        cdef uint8_t* at = out
        cdef int i, j, kind = 0
        if head.framing == CHUNKED:
            kind = 4
        elif head.length >= 0:
            kind = 2
        template = self.plane.responses_by[kind + close]
        for i in range(template.count):
            at = put(at, template.literals[i], template.sizes[i])
            if template.slots[i] == STATUS_AND_REASON:
                at = put(at, buf + head.line.at, head.line.size)
            elif template.slots[i] == FIELDS:
                for j in range(head.spans):
                    at = put(at, buf + head.fields[j].at, head.fields[j].size)
            elif template.slots[i] == LENGTH_VALUE:
                at = put_number(at, head.length)
        return <int>(at - out)

    cdef int _respond(
        self, uint8_t* buf, Py_ssize_t size, ResponseHead* head, bint full
    ) except -1:
        """Send the head of the final response, and what came of its body."""
        cdef NativePlane plane = self.plane
        cdef uint8_t* out = plane.engine.outgoing
        cdef uint8_t* rest = buf + head.size
        cdef Py_ssize_t rest_size = size - head.size, taken = 0
        cdef int head_size
        cdef Progress progress
        cdef bytes odd
        begin_body(&self._body, head.framing, head.length)
        progress = take_body(&self._body, rest, rest_size, &taken)
        if progress == ODD:             # it may be bad, and nothing of it must be shown then
            odd = PyBytes_FromStringAndSize(<const char*>buf, size)
            return self._odd_response(odd, 0, full)
        plane.respond(head.status)
        self._closes = self._closes or head.framing == CLOSE or not self._whole
        self._usable = self._usable and head.keep_alive and self._whole
        head_size = self._write_head(out, buf, head, self._closes)
        if head_size <= head.size + HEADROOM:
            memcpy(rest - head_size, out, head_size)        # in front of the body, where it lies
            out = rest - head_size
        else:
            memcpy(out + head_size, rest, taken)
        plane.bytes_down += head_size + taken
        if progress == DONE:
            if taken < rest_size:       # bytes that no request has asked for
                self._usable = False
            elif full and self._usable and self._upstream.is_stale():
                self._usable = False    # a read that was full may have left some behind
            self._give(out, head_size + taken, True)
            return self._complete()
        self._forget_request()
        self._phase = RESPONDING
        self._wait(plane.responding_seconds)
        self._tail_size = <int>(rest_size - taken)
        memcpy(self._tail, rest + taken, self._tail_size)
        self._give(out, head_size + taken, False)
        self._go_on(head.framing, self._body.left)
        return self._relay() if full or self._upstream.is_behind() else 0

    cdef int _go_on(self, Framing framing, int64_t left) except -1:
        """Expect more of a body."""
        if framing != CHUNKED:
            self._down.source = self._upstream.fd
            self._down.limit = left if framing == LENGTH else -1
            self._down.moved = 0
            self._down.dry_at = -1
            self._down.bulk = self._down.ended = False
        return 0

    cdef int _odd_response(self, bytes data, Py_ssize_t searched, bint full) except -1:
        """Have the Python parser read a head that is not plain, or not all there."""
        cdef NativePlane plane = self.plane
        cdef bytes method = b"HEAD" if self._to_head else b"GET"
        cdef bytes sent
        cdef object left
        while True:
            try:
                head = plane.parse_response(data, 0, method, searched)
                if head is None:
                    self._heard = data
                    self._upstream.reused = False
                    return self._read_response() if full or self._upstream.is_behind() else 0
                plane.respond(head.status)
                self._authenticates = self._authenticates or head.authenticates
                if head.status == 101:
                    return self._refuse_response("bad_switch")
                if head.status >= 200:
                    part = plane.first_of_response(
                        head, data[head.consumed :], 1, close=bool(self._closes),
                        whole=bool(self._whole),
                    )
                    break
            except plane.refused as bad:
                return self._refuse_response(bad.kind)
            sent = plane.serialise_response(head, close=False)
            if self._interim(<const uint8_t*>PyBytes_AS_STRING(sent), PyBytes_GET_SIZE(sent)):
                return 0
            data = data[head.consumed :]
            self._heard = None
            searched = 0
            if not data:
                return self._read_response() if full or self._upstream.is_behind() else 0
        self._heard = None
        self._closes = part.close
        self._usable = self._usable and part.usable
        sent = part.data
        left = part.left
        plane.bytes_down += PyBytes_GET_SIZE(sent)
        if left == 0 and part.chunks is None:
            if full and self._usable and self._upstream.is_stale():
                self._usable = False
            self._give(<const uint8_t*>PyBytes_AS_STRING(sent), PyBytes_GET_SIZE(sent), True)
            return self._complete()
        self._forget_request()
        self._phase = RESPONDING
        self._wait(plane.responding_seconds)
        self._give(<const uint8_t*>PyBytes_AS_STRING(sent), PyBytes_GET_SIZE(sent), False)
        self._chunks = part.chunks
        self._body.framing = CHUNKED if part.chunks is not None else LENGTH if left > 0 else CLOSE
        self._go_on(self._body.framing, left)
        return self._relay() if full or self._upstream.is_behind() else 0

    cdef int _refuse_response(self, kind) except -1:
        """What the upstream sent cannot be passed on."""
        self._upstream.target.endpoint.answered_badly(
            self.plane.fault(kind), self.plane.engine.now
        )
        self._drop_upstream()
        return self._refuse(502, f"the origin's response was refused: {kind}")

    # Bodies.

    cdef int _relay(self) except -1:
        """Move what can be moved of the response's body to the client."""
        cdef NativePlane plane = self.plane
        cdef Engine engine = plane.engine
        cdef Flow* flow = &self._down
        cdef Upstream upstream = self._upstream
        cdef Moved progress = AGAIN
        cdef int64_t before = flow.moved, moved
        cdef int turns = TURNS
        cdef int flags = MSG_MORE if self._closes and not self._unread else 0
        cdef bint behind = upstream.end_in_sight or upstream.urgent
        cdef bint last = upstream.end_in_sight and not upstream.urgent and flow.limit < 0
        if self._body.framing == CHUNKED:
            return self._relay_chunks()
        while turns:
            turns -= 1
            moved = flow.moved
            progress = pump(flow, engine.incoming, last, flags)
            if progress == STARVED and behind and (flow.moved != moved or flow.bulk):
                flow.bulk = False       # a splice may find nothing where a read finds something
            elif progress != AGAIN:
                break
        plane.bytes_down += flow.moved - before
        self._wait(plane.responding_seconds)
        if progress == ENDED:
            if flow.limit > 0:
                return self._end_early()
            if flow.limit < 0:
                self._usable = False
            elif self._usable and upstream.is_stale():
                self._usable = False    # what it sent beyond this response answers no request
            return self._complete()
        if progress == SOURCE_BROKE or progress == SINK_BROKE:
            return self._end(BROKEN_RESPONSE, True)
        if progress == BLOCKED:
            return self._watch(True)
        if progress == AGAIN or (progress == STARVED and behind and not turns):
            return engine.rewatch(upstream.fd, READING)   # reported anew, after others
        return 0

    cdef int _relay_chunks(self) except -1:
        """The same for a chunked body."""
        cdef NativePlane plane = self.plane
        cdef Engine engine = plane.engine
        cdef uint8_t* buf
        cdef ssize_t count
        cdef Py_ssize_t size, taken = 0
        cdef Progress progress
        cdef Body before
        cdef int turns = TURNS
        cdef bint done = False
        cdef bytes odd
        while turns:
            turns -= 1
            if self._down.held != NULL:
                return 0
            count = recv(self._upstream.fd, engine.incoming, BUFFER, 0)
            if count < 0:
                return 0 if errno == EAGAIN else self._end(BROKEN_RESPONSE, True)
            if count == 0:
                return self._end_early()
            self._wait(plane.responding_seconds)
            if self._chunks is not None:
                odd = PyBytes_FromStringAndSize(<const char*>engine.incoming, count)
                if self._feed_odd(odd, count, &done) or done:
                    return 0
            else:
                buf = engine.incoming - self._tail_size
                size = self._tail_size + count
                memcpy(buf, self._tail, self._tail_size)
                before = self._body
                progress = take_body(&self._body, buf, size, &taken)
                if progress == ODD:     # it may be bad, and nothing of it must be shown then
                    odd = PyBytes_FromStringAndSize(<const char*>buf, size)
                    self._chunks = plane.odd_chunks(bool(before.in_chunk), before.left)
                    if self._feed_odd(odd, count, &done) or done:
                        return 0
                    continue
                plane.bytes_down += count
                if progress == DONE:
                    if taken < size or (
                        count == BUFFER and self._usable and self._upstream.is_stale()
                    ):
                        self._usable = False
                    self._give(buf, taken, True)
                    return self._complete()
                self._tail_size = <int>(size - taken)
                memcpy(self._tail, buf + taken, self._tail_size)
                self._give(buf, taken, False)
            if count < BUFFER and not (self._upstream.end_in_sight or self._upstream.urgent):
                return 0
        return engine.rewatch(self._upstream.fd, READING)

    cdef int _feed_odd(self, bytes data, ssize_t count, bint* done) except -1:
        """Have the Python reader read on in a chunked body; 1 if that was the connection's end.

        `count` bytes of `data` have just been read.
        """
        cdef bytes out
        try:
            written, used, ended = self._chunks.feed(data)
        except self.plane.refused as bad:
            self._upstream.target.endpoint.answered_badly(bad.kind, self.plane.engine.now)
            self._end(BROKEN_RESPONSE, True)
            return 1
        self.plane.bytes_down += count
        out = bytes(written)
        done[0] = ended
        if ended and used < PyBytes_GET_SIZE(data):
            self._usable = False
        self._give(<const uint8_t*>PyBytes_AS_STRING(out), PyBytes_GET_SIZE(out), ended)
        if ended:
            self._complete()
        return 0

    cdef int _end_early(self) except -1:
        """The upstream ended before its response did: the client is to see that, and what there is."""
        self._drop_upstream()
        # A close on unread bytes is a reset, which may cost the client what it was sent.
        recv(self.fd, self.plane.engine.incoming, READ_BYTES, 0)
        return self._end(BROKEN_RESPONSE, False)

    # For the class that asks.

    cdef int _complete(self) except -1:
        """The response is with the client, or held for it."""
        raise NotImplementedError
