"""A server that makes the gate's system calls and does nothing else: what a unit costs at least.

It knows no names, reads no head, and counts, limits and times nothing. A hello says itself whether
it is to be refused (see `hello`), a request by its path; a server that redirects does so to every
request. To all others an upstream is sent a request that was made in advance, and a body as it comes,
and it is known how long its answer is. What is left is the kernel's work, one table by descriptor,
the gate's own way of moving bytes (gate.native.flow), and, in HTTP, a look for `Connection: close`.
"""

from libc.errno cimport EAGAIN, EINPROGRESS, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from gate.native.addresses cimport read_address
from gate.native.flow cimport (
    AGAIN, BLOCKED, ENDED, SINK_BROKE, SOURCE_BROKE, STARVED, Flow, Moved, close_flow, hold,
    is_blocked, open_flow, pump,
)
from gate.native.libc cimport (
    CLOCK_MONOTONIC, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN,
    EPOLLOUT, EPOLLRDHUP, IPPROTO_TCP, MSG_MORE, MSG_NOSIGNAL, PR_SET_TIMERSLACK, SHUT_WR, SOCK_CLOEXEC,
    SOCK_NONBLOCK, SOCK_STREAM, TCP_NODELAY, accept4, clock_nanosleep, close, connect, epoll_create1,
    epoll_ctl, epoll_event, epoll_wait, monotonic, prctl, recv, send, setsockopt, shutdown, sockaddr,
    sockaddr_storage, socket, socklen_t, timespec,
)
from gate.native.sockets cimport linger_off

cdef extern from "<string.h>" nogil:
    void* memmem(const void* data, size_t size, const void* sought, size_t sought_size)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events

    int poll(pollfd* waiting, unsigned long count, int milliseconds)
    enum: POLLOUT

cdef extern from "<sys/prctl.h>" nogil:
    enum: PR_SET_PDEATHSIG

cdef extern from "<signal.h>" nogil:
    enum: SIGKILL

cdef enum:
    MOST_DESCRIPTORS = 65536
    MOST_EVENTS = 512
    BUFFER = 65536
    FIRST_READ = 16384
    BATCH = 64
    FEW = 8
    LONG = 10000                # ms
    TURNS = 16                  # reads before other connections have their turn
    ANSWER_AT = 15              # in a hello: see benchmarks.side_by_side.hello
    PATH_AT = 5                 # behind the slash, in a GET
    READING = EPOLLIN | EPOLLRDHUP | EPOLLET
    HEARD = EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP
    MOST_PATHS = 4

cdef enum Kind:
    NOTHING
    TLS_LISTENER
    HTTP_LISTENER
    TUNNEL
    CLIENT
    UPSTREAM

cdef struct Side:
    Kind kind
    uint32_t generation         # of the descriptor: events of its past lives are void
    int peer                    # the other side's descriptor; of a kept upstream: the next one's; or -1
    bint ended                  # it has sent its end
    bint closes                 # a client that is closed once it is answered, and not watched
    int64_t answer              # bytes of the answer that was asked for; 0: they come in one piece
    Flow flow                   # what comes from this side and is more than a read

cdef struct Asked:
    uint8_t letter              # behind the slash
    const uint8_t* request
    Py_ssize_t size
    int64_t answer

cdef struct Goal:
    sockaddr_storage address
    socklen_t size
    int family


cdef class Bare:
    """`upstreams` are families and addresses, for TLS and HTTP; see the module.

    `paths` has for each request a letter behind the slash that it is known by, what is sent for it, and
    the size of the answer, or 0 where that comes in one piece. The first stands for every other one.
    Requests with the letter `refused_path` are redirected. A POST has a body of `posted` bytes.
    """

    cdef int _epoll, _kept
    cdef double _nap
    cdef bint _redirects, _trickles
    cdef int _fresh, _others
    cdef int _guesses[2]
    cdef Side _table[MOST_DESCRIPTORS]
    cdef uint8_t _buf[BUFFER]
    cdef Goal _tls, _http
    cdef list _paths
    cdef bytes _owned_answer, _owned_redirect
    cdef Asked _asked[MOST_PATHS]
    cdef int _asked_count
    cdef const uint8_t* _answer
    cdef const uint8_t* _redirect
    cdef Py_ssize_t _answer_size, _redirect_size
    cdef int _refused
    cdef uint8_t _refused_path
    cdef int64_t _posted

    def __init__(
        self, upstreams, list paths, bytes answer, bytes redirect, bint redirects, int refused,
        bytes refused_path, int64_t posted, double coalesce,
    ):
        cdef int i
        cdef bytes letter, request
        (tls_family, tls), (http_family, http) = upstreams
        self._tls.family, self._http.family = tls_family, http_family
        self._tls.size = read_address(tls, tls_family, &self._tls.address)
        self._http.size = read_address(http, http_family, &self._http.address)
        self._paths, self._owned_answer, self._owned_redirect = paths, answer, redirect
        self._asked_count = len(paths)
        for i in range(self._asked_count):
            letter, request, size = paths[i]
            self._asked[i] = Asked(letter[0], request, len(request), size)
        self._answer, self._answer_size = answer, len(answer)
        self._redirect, self._redirect_size = redirect, len(redirect)
        self._redirects = redirects
        self._refused = refused
        self._refused_path = refused_path[0]
        self._posted = posted
        self._nap = coalesce
        self._kept = -1
        self._guesses[0] = self._guesses[1] = 1
        self._epoll = epoll_create1(EPOLL_CLOEXEC)

    def serve(self, int tls, int http):
        """Serve two listening sockets until killed, or until the process that began this one is."""
        prctl(PR_SET_PDEATHSIG, SIGKILL)
        if self._nap:
            prctl(PR_SET_TIMERSLACK, 1000)
        self._watch(tls, TLS_LISTENER, -1, EPOLLIN)
        self._watch(http, HTTP_LISTENER, -1, EPOLLIN)
        while True:
            self._turn()

    cdef int _turn(self) except -1:
        """As gate.native.engine: one wait, and what it brings."""
        cdef epoll_event events[MOST_EVENTS]
        cdef timespec nap
        cdef double began = 0
        cdef int count, i, fd
        cdef Side* side
        if self._trickles:
            nap.tv_sec = 0
            nap.tv_nsec = <long>(self._nap * 1e9)
            clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL)
        if self._nap > 0:
            began = monotonic()
        count = epoll_wait(self._epoll, events, MOST_EVENTS, -1)
        self._fresh = self._others = 0
        for i in range(count):
            fd = <int><uint32_t>events[i].data.u64
            side = &self._table[fd]
            if side.generation != <uint32_t>(events[i].data.u64 >> 32):
                continue
            if side.kind == TLS_LISTENER or side.kind == HTTP_LISTENER:
                self._accept(fd, side.kind == TLS_LISTENER)
                continue
            self._others += 1
            if side.kind == TUNNEL:
                self._relay(fd, side, events[i].events)
            elif side.kind == CLIENT:
                self._hear_client(fd, side, events[i].events)
            elif side.kind == UPSTREAM:
                self._hear_upstream(fd, side, events[i].events)
        self._trickles = (
            self._nap > 0 and 0 < self._fresh < FEW and not self._others
            and monotonic() - began < 150e-6
        )
        return 0

    cdef void _watch(self, int fd, Kind kind, int peer, uint32_t events) noexcept:
        cdef Side* side = &self._table[fd]
        cdef epoll_event event
        side.kind = kind
        side.peer = peer
        side.ended = side.closes = False
        side.answer = 0
        open_flow(&side.flow, fd, peer, -1 if kind == TUNNEL else 0)
        event.events = events
        event.data.u64 = <uint64_t>side.generation << 32 | <uint32_t>fd
        epoll_ctl(self._epoll, EPOLL_CTL_ADD, fd, &event)

    cdef void _rewatch(self, int fd) noexcept:
        """Have what is ready already reported again, and when it takes more."""
        cdef epoll_event event
        event.events = READING | EPOLLOUT
        event.data.u64 = <uint64_t>self._table[fd].generation << 32 | <uint32_t>fd
        epoll_ctl(self._epoll, EPOLL_CTL_MOD, fd, &event)

    cdef void _drop(self, int fd) noexcept:
        close_flow(&self._table[fd].flow)
        self._table[fd].generation += 1
        self._table[fd].kind = NOTHING
        close(fd)

    cdef bint _move(self, int fd, bint behind, bint last) except -1:
        """Move on what comes from `fd` as far as that goes; whether nothing more will come.

        There may be something `behind` a short read, or it is the `last` one.
        """
        cdef Flow* flow = &self._table[fd].flow
        cdef Moved moved = AGAIN
        cdef int64_t before
        cdef bint bulk
        cdef int turns
        for turns in range(TURNS):
            before, bulk = flow.moved, flow.bulk
            moved = pump(flow, self._buf, last, MSG_MORE if flow.limit < 0 else 0)
            if moved == STARVED and behind and (bulk or flow.moved != before):
                flow.bulk = False       # a splice may find nothing where a read finds something
            elif moved != AGAIN:
                break
        else:
            self._rewatch(fd)
        if moved == BLOCKED:
            self._rewatch(flow.sink)
        return moved == ENDED or moved == SOURCE_BROKE or moved == SINK_BROKE

    cdef int _accept(self, int listener, bint tls) except -1:
        cdef sockaddr_storage peer
        cdef socklen_t size
        cdef int guess = self._guesses[tls]
        cdef int count, fd
        cdef ssize_t got
        for count in range(guess):
            size = sizeof(peer)
            fd = accept4(listener, <sockaddr*>&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                self._guesses[tls] = count if count else 1
                return 0
            self._fresh += 1
            got = recv(fd, self._buf, FIRST_READ, 0)
            if tls:
                self._tunnel(fd, got)
            else:
                self._ask(fd, got, False)
        self._guesses[tls] = min(2 * guess, <int>BATCH)
        return 0

    cdef int _dial(self, Goal* goal) noexcept:
        cdef int fd = socket(goal.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if (
            fd >= 0 and connect(fd, <const sockaddr*>&goal.address, goal.size)
            and errno != EINPROGRESS
        ):
            close(fd)
            return -1
        return fd

    cdef bint _begin(self, int fd, const uint8_t* data, ssize_t size) noexcept:
        """Send the first bytes of a connection; whether it took them."""
        cdef pollfd waiting
        if send(fd, data, size, MSG_NOSIGNAL) == size:
            return True
        # A near upstream has accepted by now, nearly always; the gate goes on with others else.
        waiting.fd = fd
        waiting.events = POLLOUT
        return poll(&waiting, 1, LONG) == 1 and send(fd, data, size, MSG_NOSIGNAL) == size

    # TLS.

    cdef void _tunnel(self, int fd, ssize_t size) noexcept:
        cdef int upstream
        if size <= ANSWER_AT or self._buf[ANSWER_AT] == self._refused:
            close(fd)                   # with a reset: the listening socket's option is inherited
            return
        linger_off(fd)
        upstream = self._dial(&self._tls)
        if upstream < 0 or not self._begin(upstream, self._buf, size):
            close(fd)                   # the client notices, and the round does not count
            if upstream >= 0:
                close(upstream)
            return
        self._watch(upstream, TUNNEL, fd, READING)
        self._watch(fd, TUNNEL, upstream, READING)

    cdef int _relay(self, int fd, Side* side, uint32_t events) except -1:
        """A side of a tunnel is ready: the source of one flow, the sink of the other."""
        cdef int peer = side.peer
        if events & EPOLLOUT and is_blocked(&self._table[peer].flow):
            if self._move(peer, True, False):
                self._end_of(peer)
        if side.kind == TUNNEL and events & HEARD and not side.ended and not is_blocked(&side.flow):
            if self._move(fd, events & EPOLLRDHUP, events & EPOLLRDHUP):
                self._end_of(fd)
        return 0

    cdef void _end_of(self, int fd) noexcept:
        """One side has ended."""
        cdef int peer = self._table[fd].peer
        self._table[fd].ended = True
        if self._table[peer].ended:
            self._drop(fd)
            self._drop(peer)
        else:
            shutdown(peer, SHUT_WR)

    # HTTP.

    cdef int _hear_client(self, int fd, Side* side, uint32_t events) except -1:
        cdef int upstream = side.peer
        if events & EPOLLOUT and upstream >= 0 and is_blocked(&self._table[upstream].flow):
            if self._move(upstream, True, False):
                self._answered(upstream)
        if events & HEARD:
            if side.flow.limit == 0:
                return self._ask(fd, recv(fd, self._buf, FIRST_READ, 0), True)
            if not is_blocked(&side.flow):
                self._move(fd, False, False)
        return 0

    cdef int _hear_upstream(self, int fd, Side* side, uint32_t events) except -1:
        cdef int client = side.peer
        if events & EPOLLOUT and client >= 0 and is_blocked(&self._table[client].flow):
            self._move(client, True, False)
        if events & HEARD:
            if side.flow.limit == 0:
                return self._respond(fd, side)
            if not is_blocked(&side.flow) and self._move(fd, False, False):
                self._answered(fd)
        return 0

    cdef int _ask(self, int fd, ssize_t size, bint watched) except -1:
        """A request has come: answer it, or ask a kept upstream connection, or a new one."""
        cdef int upstream = self._kept, one = 1, i
        cdef Asked* asked = &self._asked[0]
        cdef const uint8_t* end = NULL
        cdef bint closes, begun
        if size < 0 and errno == EAGAIN:
            if not watched:             # where many come at a time, some come before their request
                self._watch(fd, CLIENT, -1, READING)
            return 0
        if size <= PATH_AT:
            if watched:
                if self._table[fd].peer >= 0:
                    self._drop(self._table[fd].peer)
                self._drop(fd)
            else:
                close(fd)
            return 0
        if self._redirects or self._buf[PATH_AT] == self._refused_path:
            send(fd, self._redirect, self._redirect_size, MSG_NOSIGNAL | MSG_MORE)
            if watched:
                self._drop(fd)
            else:
                close(fd)
            return 0
        for i in range(1, self._asked_count):
            if self._buf[PATH_AT] == self._asked[i].letter:
                asked = &self._asked[i]
        if self._buf[0] == 80:          # P
            end = <const uint8_t*>memmem(self._buf, size, <const char*>b"\r\n\r\n", 4)
        closes = memmem(self._buf, size, <const char*>b"\r\nConnection: close\r\n", 21) != NULL
        if not watched and not closes:
            self._watch(fd, CLIENT, -1, READING)
        if upstream >= 0:
            self._kept = self._table[upstream].peer
        else:
            upstream = self._dial(&self._http)
        begun = upstream >= 0 and (
            self._begin(upstream, asked.request, asked.size) if end == NULL
            else self._begin(upstream, self._buf, size)
        )
        if not begun:
            close(fd)
            if upstream >= 0:
                self._drop(upstream)
            return 0
        if self._table[upstream].kind != UPSTREAM:
            setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
            self._watch(upstream, UPSTREAM, -1, READING)
        self._table[upstream].peer = fd
        self._table[upstream].ended = False
        self._table[upstream].closes = closes
        self._table[upstream].answer = asked.answer
        self._table[fd].peer = -1 if closes else upstream
        if end != NULL:
            open_flow(&self._table[fd].flow, fd, upstream, end + 4 - self._buf + self._posted - size)
            self._move(fd, False, False)
        return 0

    cdef int _respond(self, int fd, Side* side) except -1:
        """The upstream begins its answer, which is all of it or not; or a kept connection has ended."""
        cdef ssize_t count = recv(fd, self._buf, BUFFER, 0), sent
        cdef int client = side.peer
        if count < 0 and errno == EAGAIN:
            return 0
        if count <= 0:
            self._leave_kept(fd)
            self._drop(fd)
            return 0
        if side.closes:
            send(client, self._answer, self._answer_size, MSG_NOSIGNAL | MSG_MORE)
            recv(client, self._buf, FIRST_READ, 0)      # a close on unread bytes would be a reset
            close(client)
            self._keep(fd)
            return 0
        sent = send(client, self._buf, count, MSG_NOSIGNAL)
        if side.answer > count or 0 <= sent < count:
            open_flow(&side.flow, fd, client, max(side.answer - count, 0))
            if 0 <= sent < count:
                hold(&side.flow, self._buf + sent, count - sent)
                self._rewatch(client)
            elif count == BUFFER and self._move(fd, False, False):
                self._answered(fd)
            return 0
        self._answered(fd)
        return 0

    cdef void _answered(self, int fd) noexcept:
        """The client has the whole answer."""
        self._table[self._table[fd].peer].peer = -1
        self._keep(fd)

    cdef void _keep(self, int fd) noexcept:
        cdef Side* side = &self._table[fd]
        side.closes = False
        side.peer = self._kept
        self._kept = fd

    cdef void _leave_kept(self, int fd) noexcept:
        cdef int* link = &self._kept
        while link[0] >= 0 and link[0] != fd:
            link = &self._table[link[0]].peer
        if link[0] == fd:
            link[0] = self._table[fd].peer
