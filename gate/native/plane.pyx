"""What all native connections of one worker share, and where they meet the Python plane.

Limits, health and routes are the Python plane's own objects (gate/proxy), asked and told here, so
that both planes count against the same bounds. Figures are plain numbers that `fold` adds to the
Python plane's when somebody asks for them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject_Hash
from cpython.ref cimport PyObject
from libc.errno cimport EADDRNOTAVAIL, EINPROGRESS, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy, memset

from weakref import WeakValueDictionary

from gate.native.addresses cimport host_text, read_address
from gate.native.libc cimport (
    AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPV6_TRANSPARENT, IP_BIND_ADDRESS_NO_PORT, IP_TRANSPARENT,
    SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, bind, close, connect, setsockopt, sockaddr,
    sockaddr_storage, socket, time as wall_clock, time_t,
)
from gate.native.request_head cimport JSON, PAGES, wishes
from gate.native.template cimport DATE, NAME, PATH, Template, put

CAUSES = (
    "answered", "closed", "peer_reset", "idle", "drained", "timeout", "broken_response",
    "upstream_failed", "upstream_timeout", "dial_exhausted", "truncated",
)
assert len(CAUSES) == CAUSE_COUNT
cdef str _CLOSED = "closed"

cdef enum:
    LONGEST_LOCATION = 4096     # bytes of a redirect, the name and the path apart
    QUESTION_MARK = 63
    SEEN_ADDRESSES = 256        # a power of two


cdef class Target:
    """One upstream address, with the Endpoint that has its health and its figures."""

    def __init__(self, endpoint):
        family, address = endpoint.family, endpoint.address
        self.endpoint = endpoint
        self.family = family
        self.size = read_address(address, family, &self.address)
        self.totals = getattr(endpoint, "totals", endpoint)
        source = getattr(endpoint, "source", None)
        if source is not None:
            self.source_size = read_address(source[1], source[0], &self.source)

    cdef int failed(self, NativePlane plane) except -1:
        """It refused, timed out, or broke before it answered: count that, and let it rest."""
        self.endpoint.failed(plane.engine.now, plane.rest_seconds)
        return 0

    cdef int works(self) except -1:
        """It took a connection: it rests no more."""
        if self.endpoint.resting_until:
            self.endpoint.works()
        return 0


cdef class TargetPool:
    """The targets of one Pool."""

    def __init__(self, pool, endpoints, list targets):
        self.pool = pool
        self.endpoints = endpoints
        self.targets = targets
        self.by_endpoint = {target.endpoint: target for target in targets or ()}
        self.single = targets[0] if targets is not None and len(targets) == 1 else None
        self.speaks_proxy = pool.speaks_proxy

    cdef Target pick(self, double now):
        """Whose turn it is."""
        if self.single is not None:
            return self.single
        return self.by_endpoint[self.pool.pick(now)]


cdef class NativePlane:
    """See the module. The arguments are parts of the Python plane, and templates."""

    def __init__(
        self, Engine engine, VerdictRing ring not None, *, decider, router, counters, admission,
        hosts, answers, adopt, adopt_own, adopt_tunnel,
        connection_name, parse_response, serialise_response,
        first_of_response, odd_chunks, refused, fault, no_upstream, dict failures, bint blocks_ech,
        bint with_challenges,
        dict limits,
        list redirects, list redirects_with_path, list responses,
    ):
        self.engine = engine
        self.ring = ring
        self.decider = decider
        self.router = router
        self.counters = counters
        self.answers = answers
        self.adopt = adopt
        self.adopt_own = adopt_own
        self.adopt_tunnel = adopt_tunnel
        self.own_name = answers.own_name.encode()
        self.connection_name = connection_name
        self.parse_response = parse_response
        self.serialise_response = serialise_response
        self.first_of_response = first_of_response
        self.odd_chunks = odd_chunks
        self.refused = refused
        self.fault = fault
        self.failures = failures
        self.no_upstream = no_upstream
        self.admission = admission
        self.hosts = hosts
        self.by_address = admission.by_address
        self._seen = [None] * SEEN_ADDRESSES
        self.targets = WeakValueDictionary()
        self.pools = {}
        self.listenings = []
        self.redirects = redirects
        self.redirects_with_path = redirects_with_path
        self.responses_by = responses
        self._second = -1
        self._date = b""
        self.blocks_ech = blocks_ech
        self.path_limit = answers.path_limit
        self.with_challenges = with_challenges
        self.per_worker = limits["connections_per_worker"]
        self.per_address = limits["connections_per_address"]
        self.most_idle = limits["most_idle"]
        self.response_limits.head = limits["response_head_bytes"]
        self.response_limits.fields = limits["response_fields"]
        self.idle_seconds = limits["idle"]
        self.tunnel_seconds = limits["tunnel"]
        self.flush_seconds = limits["flush"]
        self.sending_seconds = limits["sending"]
        self.waiting_seconds = limits["waiting"]
        self.responding_seconds = limits["responding"]
        self.connect_seconds = limits["connect"]
        self.rest_seconds = limits["rest"]
        self.linger_seconds = limits["linger"]
        self.drain_seconds = limits["drain"]
        self.shortest = min(
            self.idle_seconds, self.flush_seconds, self.sending_seconds, self.waiting_seconds,
            self.responding_seconds, self.connect_seconds,
        )

    # Admission.

    cdef str enter(self, const sockaddr_storage* address):
        """Count a connection in; its address, or None where that would be over a limit."""
        cdef str host = host_text(address)
        cdef PyObject* found = PyDict_GetItem(self.by_address, host)
        cdef long mine = 0 if found == NULL else <object>found
        cdef long open = self.admission.open
        if open >= self.per_worker or mine >= self.per_address:
            return None
        if mine:
            host = self._same(host)
        self.admission.open = open + 1
        self.by_address[host] = mine + 1
        return host

    cdef str _same(self, str address):
        """An equal address that was seen before: the many connections of one client share it."""
        cdef Py_ssize_t place = PyObject_Hash(address) & (SEEN_ADDRESSES - 1)
        cdef str seen = <str>self._seen[place]
        if seen == address:
            return seen
        self._seen[place] = address
        return address

    cdef int leave(self, str address) except -1:
        """Count a connection out again."""
        cdef long left = self.by_address[address] - 1
        self.admission.open -= 1
        if left:
            self.by_address[address] = left
        else:
            del self.by_address[address]
        return 0

    cdef int enter_host(self, host) except -1:
        """Count a connection in at a host where there is another one (see gate.proxy.hosts)."""
        host.open += 1
        return 0

    cdef int leave_host(self, host) except -1:
        """Count a connection out again."""
        if host.open > 1:
            host.open -= 1
        else:
            self.hosts.leave(host)
        return 0

    def drain(self):
        """From now on connections are to end rather than to wait for more."""
        self.draining = True

    cdef bint is_own_name(self, HeldVerdict verdict) noexcept:
        """Whether it is about the notice page's own name."""
        return (
            verdict.name_size == PyBytes_GET_SIZE(self.own_name)
            and memcmp(
                verdict.text + verdict.name_at, PyBytes_AS_STRING(self.own_name), verdict.name_size
            ) == 0
        )

    cdef Py_ssize_t path_told(self, const uint8_t* buf, const RequestHead* head) noexcept:
        """How much of its target the redirect of a request that may not pass tells as its path.

        As gate.proxy.http.answers; -1 where only the Python plane knows what to answer: to all but
        a GET that wants no JSON; to one that may pass although its name may not; to a path that is
        long, or has to be encoded.
        """
        cdef const uint8_t* target = buf + head.target.at
        cdef Py_ssize_t size = 0
        cdef int wish
        if head.method.size != 3 or memcmp(buf, b"GET", 3) != 0:
            return -1
        if self.with_challenges and target[1] == b".":
            return -1
        wish = wishes(buf, head)
        if wish & JSON:
            return -1
        if not wish & PAGES or self.path_limit == 0:
            return 0
        while size < <Py_ssize_t>head.target.size and target[size] != QUESTION_MARK:
            if size == self.path_limit or not _is_plain_in_path(target[size]):
                return -1
            size += 1
        return 0 if size == 1 else size

    cdef int leave_to_python(self, bytes host, verdict) except -1:
        """Have the Python plane's question about a host that was judged here count as the same; 0."""
        self.ring.again = (host, verdict)
        return 0

    # Figures.

    cdef void end(self, Cause cause) noexcept:
        self.ends[<int>cause] += 1

    cdef int end_for(self, str cause) except -1:
        """Count the end of a connection by the name of its cause."""
        if cause is _CLOSED:
            self.ends[<int>CLOSED] += 1
        else:
            self.counters.end(cause)
        return 0

    cdef str name(self, listener, long number):
        """What the log calls a connection."""
        return self.connection_name(listener.name, number)

    cdef void respond(self, int status) noexcept:
        self.responses[status // 100] += 1

    def fold(self):
        """Add what was counted to the Python plane's figures."""
        cdef int i
        counters = self.counters
        counters.bytes_up += self.bytes_up
        counters.bytes_down += self.bytes_down
        counters.requests += self.requests
        counters.ech_hellos += self.ech
        counters.connected_at_once(self.connected_at_once)
        self.bytes_up = self.bytes_down = self.requests = self.ech = self.connected_at_once = 0
        for i in range(10):
            counters.responses[i] += self.responses[i]
        for i in range(<int>CAUSE_COUNT):
            if self.ends[i]:
                counters.ends[CAUSES[i]] += self.ends[i]
        memset(self.responses, 0, sizeof(self.responses))
        memset(self.ends, 0, sizeof(self.ends))
        for listening in self.listenings:
            listening.fold()

    def idle_of(self, endpoint):
        """How many kept connections there are to an endpoint."""
        target = self.targets.get(endpoint)
        return 0 if target is None else target.idle_count

    # Upstreams.

    cdef TargetPool pool_for(self, Scheme scheme, verdict):
        """Where the traffic of a verdict's name goes; None where only the Python plane knows how.

        That is where there is no address, or one is a name that does not resolve, or where each
        connection begins with a PROXY header.
        """
        cdef TargetPool known
        pool = self.router.only_tls if scheme == TLS else self.router.only_http
        if pool is None:
            name = verdict.name
            try:
                pool = self.router.tls(name) if scheme == TLS else self.router.http(name)
            except self.no_upstream:
                return None
        known = self.pools.get(pool)
        if known is None or known.endpoints is not pool.endpoints:
            known = self._pool(pool)
        return None if known.speaks_proxy or known.targets is None else known

    cdef TargetPool _pool(self, pool):
        endpoints = pool.endpoints
        targets = None
        if all([endpoint.resolved for endpoint in endpoints]):
            targets = [self._target(endpoint) for endpoint in endpoints]
        known = self.pools[pool] = TargetPool(pool, endpoints, targets)
        return known

    def _target(self, endpoint):
        target = self.targets.get(endpoint)
        if target is None:
            target = self.targets[endpoint] = Target(endpoint)
        return target

    cdef int dial(self, Target target) except? -1:
        """Begin a connection; return its descriptor, or an error's number, negative."""
        cdef int fd = socket(target.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        cdef int why
        if fd < 0:
            return -errno
        target.totals.connects += 1
        if target.source_size and bind_to_client(fd, target) < 0:
            why = -errno
            close(fd)
            return why
        if connect(fd, <const sockaddr*>&target.address, target.size) and errno != EINPROGRESS:
            why = -errno
            close(fd)
            return why
        return fd

    # Answers of the gate's own.

    cdef bytes date(self):
        """The value of Date, made once a second."""
        cdef time_t second = wall_clock(NULL)
        if second != self._second:
            self._second = second
            self._date = self.answers.date()
        return self._date

    cdef Py_ssize_t write_redirect(
        self, HeldVerdict verdict, const uint8_t* path, Py_ssize_t path_size, uint8_t* out
    ) except -1:
        """Write the redirect to the notice page to `out`; return its size.

        It tells the page the path, of the size that `path_told` has found.
        """
        cdef bint with_path = path_size > 0 and verdict.name_size > 0
        cdef list redirects = self.redirects_with_path if with_path else self.redirects
        cdef Template template = redirects[verdict.code]
        cdef uint8_t* at = out
        cdef const uint8_t* name = verdict.text + verdict.name_at
        cdef bytes whole
        cdef int i
        cdef bint plain = template is not None and template.fixed <= LONGEST_LOCATION
        for i in range(verdict.name_size):
            plain = plain and _needs_no_encoding(name[i])
        if not plain:
            whole = self.answers.redirect(verdict, path[:path_size])
            if PyBytes_GET_SIZE(whole) > 2 * LONGEST_LOCATION:
                raise ValueError("the notice page's address is too long")
            memcpy(out, PyBytes_AS_STRING(whole), PyBytes_GET_SIZE(whole))
            return PyBytes_GET_SIZE(whole)
        whole = self.date()
        for i in range(template.count):
            at = put(at, template.literals[i], template.sizes[i])
            if template.slots[i] == DATE:
                at = put(at, PyBytes_AS_STRING(whole), PyBytes_GET_SIZE(whole))
            elif template.slots[i] == NAME:
                at = put(at, name, verdict.name_size)
            elif template.slots[i] == PATH:
                at = put(at, path, path_size)
        return at - out


cdef inline bint _needs_no_encoding(uint8_t byte) noexcept nogil:
    return 97 <= byte <= 122 or 48 <= byte <= 57 or byte == 45 or byte == 46 or byte == 95


cdef inline bint _is_plain_in_path(uint8_t byte) noexcept nogil:
    """Whether a byte is unreserved (RFC 3986 2.3), or a slash: none that is encoded in a path."""
    return _needs_no_encoding(byte) or 65 <= byte <= 90 or byte == 47 or byte == 126


cdef int bind_to_client(int fd, Target target) noexcept:
    """Have the host see the client's address, as gate.proxy.hosts does; -1 if that cannot be."""
    cdef int one = 1
    cdef bint six = target.family == AF_INET6
    if (
        setsockopt(
            fd, IPPROTO_IPV6 if six else IPPROTO_IP, IPV6_TRANSPARENT if six else IP_TRANSPARENT,
            &one, sizeof(one),
        )
        or setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one))
    ):
        return -1
    return bind(fd, <const sockaddr*>&target.source, target.source_size)


cdef bint is_out_of_resources(int number) noexcept nogil:
    """Whether an error says that the gate, or its machine, has nothing left to connect with."""
    return number in (EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL)
