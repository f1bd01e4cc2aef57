"""A server that makes the gate's system calls and does nothing else: what a unit costs at least.

It knows no names, reads no head, and counts, limits and times nothing. A hello says itself whether
it is to be refused (see `hello`); a server that redirects does so to every request; one that does
not sends the upstream a request that was made in advance. What is left is the kernel's work, one
table by descriptor, and, in HTTP, a look for `Connection: close`.
"""

from libc.errno cimport EAGAIN, EINPROGRESS, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gate.native.addresses cimport read_address
from gate.native.libc cimport (
    CLOCK_MONOTONIC, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLET, EPOLLIN, EPOLLRDHUP, IPPROTO_TCP,
    MSG_MORE, MSG_NOSIGNAL, PR_SET_TIMERSLACK, SHUT_WR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM,
    TCP_NODELAY, accept4, clock_nanosleep, close, connect, epoll_create1, epoll_ctl, epoll_event,
    epoll_wait, monotonic, prctl, recv, send, setsockopt, shutdown, sockaddr, sockaddr_storage,
    socket, socklen_t, timespec,
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

cdef enum:
    MOST_DESCRIPTORS = 65536
    MOST_EVENTS = 512
    BUFFER = 65536
    FIRST_READ = 16384
    BATCH = 64
    FEW = 8
    LONG = 10000                # ms
    ANSWER_AT = 15              # in a hello: see benchmarks.side_by_side.hello
    READING = EPOLLIN | EPOLLRDHUP | EPOLLET

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

cdef struct Goal:
    sockaddr_storage address
    socklen_t size
    int family


cdef class Bare:
    """`upstreams` are families and addresses, for TLS and HTTP; see the module."""

    cdef int _epoll, _kept
    cdef double _nap
    cdef bint _redirects, _trickles
    cdef int _fresh, _others
    cdef int _guesses[2]
    cdef Side _table[MOST_DESCRIPTORS]
    cdef uint8_t _buf[BUFFER]
    cdef Goal _tls, _http
    cdef bytes _owned_request, _owned_answer, _owned_redirect
    cdef const uint8_t* _request
    cdef const uint8_t* _answer
    cdef const uint8_t* _redirect
    cdef Py_ssize_t _request_size, _answer_size, _redirect_size
    cdef int _refused

    def __init__(
        self, upstreams, bytes request, bytes answer, bytes redirect, bint redirects, int refused,
        double coalesce,
    ):
        (tls_family, tls), (http_family, http) = upstreams
        self._tls.family, self._http.family = tls_family, http_family
        self._tls.size = read_address(tls, tls_family, &self._tls.address)
        self._http.size = read_address(http, http_family, &self._http.address)
        self._owned_request, self._owned_answer, self._owned_redirect = request, answer, redirect
        self._request, self._request_size = request, len(request)
        self._answer, self._answer_size = answer, len(answer)
        self._redirect, self._redirect_size = redirect, len(redirect)
        self._redirects = redirects
        self._refused = refused
        self._nap = coalesce
        self._kept = -1
        self._guesses[0] = self._guesses[1] = 1
        self._epoll = epoll_create1(EPOLL_CLOEXEC)

    def serve(self, int tls, int http):
        """Serve two listening sockets until killed."""
        if self._nap:
            prctl(PR_SET_TIMERSLACK, 1000)
        self._watch(tls, TLS_LISTENER, -1, EPOLLIN)
        self._watch(http, HTTP_LISTENER, -1, EPOLLIN)
        with nogil:
            while True:
                self._turn()

    cdef void _turn(self) noexcept nogil:
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
                self._ask(fd, recv(fd, self._buf, FIRST_READ, 0), True)
            elif side.kind == UPSTREAM:
                self._respond(fd, side)
        self._trickles = (
            self._nap > 0 and 0 < self._fresh < FEW and not self._others
            and monotonic() - began < 150e-6
        )

    cdef void _watch(self, int fd, Kind kind, int peer, uint32_t events) noexcept nogil:
        cdef Side* side = &self._table[fd]
        cdef epoll_event event
        side.kind = kind
        side.peer = peer
        side.ended = side.closes = False
        event.events = events
        event.data.u64 = <uint64_t>side.generation << 32 | <uint32_t>fd
        epoll_ctl(self._epoll, EPOLL_CTL_ADD, fd, &event)

    cdef void _drop(self, int fd) noexcept nogil:
        self._table[fd].generation += 1
        self._table[fd].kind = NOTHING
        close(fd)

    cdef void _accept(self, int listener, bint tls) noexcept nogil:
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
                return
            self._fresh += 1
            got = recv(fd, self._buf, FIRST_READ, 0)
            if tls:
                self._tunnel(fd, got)
            else:
                self._ask(fd, got, False)
        self._guesses[tls] = min(2 * guess, <int>BATCH)

    cdef int _dial(self, Goal* goal) noexcept nogil:
        cdef int fd = socket(goal.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if (
            fd >= 0 and connect(fd, <const sockaddr*>&goal.address, goal.size)
            and errno != EINPROGRESS
        ):
            close(fd)
            return -1
        return fd

    cdef bint _begin(self, int fd, const uint8_t* data, ssize_t size) noexcept nogil:
        """Send the first bytes of a connection; whether it took them."""
        cdef pollfd waiting
        if send(fd, data, size, MSG_NOSIGNAL) == size:
            return True
        # A near upstream has accepted by now, nearly always; the gate goes on with others else.
        waiting.fd = fd
        waiting.events = POLLOUT
        return poll(&waiting, 1, LONG) == 1 and send(fd, data, size, MSG_NOSIGNAL) == size

    # TLS.

    cdef void _tunnel(self, int fd, ssize_t size) noexcept nogil:
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

    cdef void _relay(self, int fd, Side* side, uint32_t events) noexcept nogil:
        cdef ssize_t count = BUFFER
        cdef int peer = side.peer
        cdef bint last = False
        while count == BUFFER:
            count = recv(fd, self._buf, BUFFER, 0)
            last = events & EPOLLRDHUP and count < BUFFER
            if count > 0 and send(
                peer, self._buf, count, MSG_NOSIGNAL | (MSG_MORE if last else 0)
            ) != count:
                count = 0
                self._table[peer].ended = True      # more than this server is for
        if count < 0:
            if errno == EAGAIN:
                return
            self._table[peer].ended = True
        elif count > 0 and not last:
            return
        side.ended = True
        if self._table[peer].ended:
            self._drop(fd)
            self._drop(peer)
        else:
            shutdown(peer, SHUT_WR)

    # HTTP.

    cdef void _ask(self, int fd, ssize_t size, bint watched) noexcept nogil:
        """A request has come: answer it, or ask a kept upstream connection, or a new one."""
        cdef int upstream = self._kept, one = 1
        cdef bint closes
        if size < 0 and errno == EAGAIN and watched:
            return
        if size <= 0:
            if self._table[fd].peer >= 0 and watched:
                self._drop(self._table[fd].peer)
            if watched:
                self._drop(fd)
            else:
                close(fd)
            return
        if self._redirects:
            send(fd, self._redirect, self._redirect_size, MSG_NOSIGNAL | MSG_MORE)
            close(fd)
            return
        closes = memmem(self._buf, size, <const char*>b"\r\nConnection: close\r\n", 21) != NULL
        if not watched and not closes:
            self._watch(fd, CLIENT, -1, READING)
        if upstream >= 0:
            self._kept = self._table[upstream].peer
        else:
            upstream = self._dial(&self._http)
        if upstream < 0 or not self._begin(upstream, self._request, self._request_size):
            close(fd)
            if upstream >= 0:
                self._drop(upstream)
            return
        if self._table[upstream].kind != UPSTREAM:
            setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
            self._watch(upstream, UPSTREAM, -1, READING)
        self._table[upstream].peer = fd
        self._table[upstream].ended = False
        self._table[upstream].closes = closes
        self._table[fd].peer = -1 if closes else upstream

    cdef void _respond(self, int fd, Side* side) noexcept nogil:
        """The upstream has answered, in one piece; or a kept connection has ended."""
        cdef ssize_t count = recv(fd, self._buf, BUFFER, 0)
        cdef int client = side.peer
        if count < 0 and errno == EAGAIN:
            return
        if count <= 0:
            self._leave_kept(fd)
            self._drop(fd)
            return
        if side.closes:
            send(client, self._answer, self._answer_size, MSG_NOSIGNAL | MSG_MORE)
            recv(client, self._buf, FIRST_READ, 0)      # a close on unread bytes would be a reset
            close(client)
        else:
            send(client, self._buf, count, MSG_NOSIGNAL)
            self._table[client].peer = -1
        side.closes = False
        side.peer = self._kept
        self._kept = fd

    cdef void _leave_kept(self, int fd) noexcept nogil:
        cdef int* link = &self._kept
        while link[0] >= 0 and link[0] != fd:
            link = &self._table[link[0]].peer
        if link[0] == fd:
            link[0] = self._table[fd].peer
