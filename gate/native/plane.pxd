from libc.stdint cimport uint8_t

from gate.native.engine cimport Engine
from gate.native.libc cimport sockaddr_storage, socklen_t, time_t
from gate.native.request_head cimport HeadLimits, RequestHead
from gate.native.template cimport Template
from gate.native.verdicts cimport MOST_REASONS, HeldVerdict, VerdictRing

cdef enum Cause:                # of a connection's end; CAUSES has their names
    ANSWERED
    CLOSED
    PEER_RESET
    IDLED
    DRAINED
    TIMED_OUT
    BROKEN_RESPONSE
    UPSTREAM_FAILED
    UPSTREAM_TIMEOUT
    DIAL_EXHAUSTED
    TRUNCATED
    CAUSE_COUNT

cdef enum Scheme:
    HTTP = 0
    TLS = 1

cdef class Target:
    cdef sockaddr_storage address
    cdef socklen_t size
    cdef int family
    cdef object __weakref__
    cdef readonly object endpoint
    cdef object totals          # what counts its connections: the endpoint, or that of all hosts
    cdef sockaddr_storage source    # whose address the host is to see, if source_size is not 0
    cdef socklen_t source_size
    cdef object idle            # the kept connections, the one that was used last first
    cdef readonly int idle_count

    cdef int failed(self, NativePlane plane) except -1
    cdef int works(self) except -1

cdef class TargetPool:
    cdef object pool
    cdef object endpoints       # of the pool: another list whenever they change
    cdef list targets           # None where one of them does not resolve
    cdef Target single
    cdef dict by_endpoint
    cdef bint speaks_proxy

    cdef Target pick(self, double now)

cdef class NativePlane:
    cdef readonly Engine engine
    cdef VerdictRing ring
    cdef object decider
    cdef object router
    cdef object counters
    cdef object answers
    cdef bytes own_name         # of the notice page
    cdef object adopt_own       # takes one whose upstream connection authenticates it
    cdef object adopt_tunnel    # takes a tunnel whose client may be asked for a second hello
    cdef object connection_name      # how connections are called in the log
    cdef object adopt           # takes an admitted connection with what was read of it
    cdef object parse_response  # the Python parser's, and what serialises its head
    cdef object serialise_response
    cdef object first_of_response
    cdef object odd_chunks      # makes a ChunkedBody that goes on where native stops
    cdef object refused         # BadResponse, and its kinds
    cdef object fault
    cdef object no_upstream     # UpstreamError
    cdef dict failures          # status and detail, by name
    cdef object admission
    cdef object hosts           # gate.proxy.hosts.Hosts, or None
    cdef dict by_address
    cdef list _seen                     # addresses, by their hash
    cdef object targets         # Endpoint to Target, while there is one
    cdef dict pools             # Pool to TargetPool
    cdef readonly list listenings
    cdef long per_worker, per_address
    cdef int most_idle
    cdef HeadLimits response_limits
    cdef double idle_seconds, tunnel_seconds, flush_seconds, sending_seconds, waiting_seconds
    cdef double responding_seconds, connect_seconds, rest_seconds, linger_seconds, drain_seconds
    cdef double shortest        # of those that a Client waits for
    cdef readonly bint draining
    cdef bint blocks_ech, with_challenges
    cdef Py_ssize_t path_limit  # bytes of a path that the notice page is told, 0 for none
    # What is counted here until `fold`.
    cdef long long bytes_up, bytes_down
    cdef long requests, ech, connected_at_once
    cdef long responses[10]
    cdef long ends[CAUSE_COUNT]
    # Templates, and what goes into them.
    cdef list redirects         # by the reason's code
    cdef list redirects_with_path    # likewise
    cdef list responses_by      # by framing, then twice: kept open, closed
    cdef time_t _second
    cdef bytes _date

    cdef str enter(self, const sockaddr_storage* address)
    cdef str _same(self, str address)
    cdef int leave(self, str address) except -1
    cdef int enter_host(self, host) except -1
    cdef int leave_host(self, host) except -1
    cdef void end(self, Cause cause) noexcept
    cdef void respond(self, int status) noexcept
    cdef int end_for(self, str cause) except -1
    cdef str name(self, listener, long number)
    cdef TargetPool pool_for(self, Scheme scheme, verdict)
    cdef TargetPool _pool(self, pool)
    cdef Py_ssize_t write_redirect(
        self, HeldVerdict verdict, const uint8_t* path, Py_ssize_t path_size, uint8_t* out
    ) except -1
    cdef bint is_own_name(self, HeldVerdict verdict) noexcept
    cdef Py_ssize_t path_told(self, const uint8_t* buf, const RequestHead* head) noexcept
    cdef int leave_to_python(self, bytes host, verdict) except -1
    cdef bytes date(self)
    cdef int dial(self, Target target) except? -1

cdef bint is_out_of_resources(int number) noexcept nogil
