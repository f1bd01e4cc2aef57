"""Where native connections come in: one listening socket.

It does what gate/proxy/accept.py does with a connection, as long as its first read brings a whole
ClientHello, or a request's whole head and nothing behind the request, that the parsers here take. Every other connection
is given to the Python entry as it is, with what was read of it; nothing was decided on it then.

A tls listener's sockets are born to reset on close (see gate/proxy/accept.py).
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem
from cpython.ref cimport PyObject
from libc.errno cimport EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memset

import os

from gate.native.addresses cimport host_text, peer_of
from gate.native.client cimport Client
from gate.native.engine cimport Ready
from gate.native.hello cimport Hello, read_hello
from gate.native.libc cimport (
    AF_INET, AF_INET6, EPOLLIN, MSG_MORE, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK, accept4,
    close as close_fd, getsockname, recv, send, sockaddr, sockaddr_in, sockaddr_in6,
    sockaddr_storage, socklen_t,
)
from gate.native.onward cimport Onward
from gate.native.plane cimport ANSWERED, HTTP, TLS, NativePlane, Scheme, TargetPool
from gate.native.request_head cimport RequestHead, read_request
from gate.native.sockets cimport linger_off, reset_on_close
from gate.native.tunnel cimport Tunnel
from gate.native.verdicts cimport MOST_REASONS, HeldVerdict

cdef enum:
    HANDSHAKE = 0x16
    COLON = 58
    READ_BYTES = 16384              # as gate.proxy.admission has it
    BATCH = 64
    FOLD_AT = 1024                  # as gate.worker.observer has it

cdef tuple _SCHEMES = ("http", "tls")


cdef class Listening(Ready):
    """See the module. `entry` takes what is not plain; `observer` notes what was decided.

    `onward` is what an upstream is sent; where `is_trusted` says so of an address, `trusted` is.
    """

    def __init__(
        self, NativePlane plane not None, sock, listener, entry, Onward onward not None,
        Onward trusted=None, is_trusted=None, observer=None, bint observes_all=False,
        find_door=None,
    ):
        self.plane = plane
        self.listener = listener
        self.family = sock.family
        self._onward = onward
        self._trusted = trusted
        self._is_trusted = is_trusted
        self._takes_http = listener.kind != "tls"
        self._entry = entry
        self._observer = observer
        self._counts = None if observer is None else observer.counts_of(listener.name)
        self._fd = sock.fileno()
        self._guess = 1
        self._is_tls = listener.kind == "tls"
        self._trusts = bool(listener.trusted)
        self._observes_all = observes_all
        self._find_door = find_door
        self._doors = {}
        self._tells_clients_apart = find_door is not None and listener.client_source != "off"
        plane.listenings.append(self)

    def door(self, listener, host not None):
        """Return the way in for connections to one host (see gate.proxy.host_listener)."""
        cdef Listening door = Listening.__new__(Listening)
        door.plane = self.plane
        door.listener = listener
        door.family = self.family
        door.host = host
        door._pool = self.plane._pool(host)
        door._socket = self
        door._is_tls = self._is_tls
        door._observes_all = self._observes_all
        return door

    def open(self):
        """Start accepting. Raises OSError where the kernel has no room for a watch."""
        self.plane.engine.watch(self._fd, EPOLLIN, self)
        self._is_open = True

    def close(self):
        """Stop accepting; the socket is the supervisor's, and stays open."""
        if self._is_open:
            self._is_open = False
            self.plane.engine.let_go(self._fd)

    def abort(self):
        """A handler of its connections failed, which is no reason to accept no more."""

    def accept(self):
        """Take the next connection; False if none can be had."""
        return bool(self.accept_one())

    cdef int on_ready(self, int fd, uint32_t events) except -1:
        """Accept as many as probably wait (see gate/proxy/accept.py)."""
        cdef int count
        for count in range(self._guess):
            if not self.accept_one():
                self._guess = count if count else 1
                return 0
        self._guess = min(2 * self._guess, BATCH)
        return 0

    cdef int accept_one(self) except -1:
        """Take the next connection as far as its first bytes go; 0 if none can be had."""
        cdef sockaddr_storage peer
        cdef socklen_t size = sizeof(peer)
        cdef int fd = accept4(self._fd, <sockaddr*>&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0:
            if errno == EAGAIN:
                return 0
            if errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):  # again at once would only spin
                self._entry.pause(OSError(errno, os.strerror(errno)))
                return 0
            return 1                                        # it gave up while it waited
        self.plane.engine.fresh += 1
        try:
            self._begin(fd, &peer)
        except Exception:
            # Ours to blame, and one connection's end: the listener goes on.
            self.plane.engine._failed(self)
            reset_on_close(fd)
            close_fd(fd)
        return 1

    cdef int _begin(self, int fd, const sockaddr_storage* peer) except -1:
        cdef NativePlane plane = self.plane
        cdef uint8_t* buf = plane.engine.incoming
        cdef ssize_t size = recv(fd, buf, READ_BYTES, 0)
        cdef Hello hello
        cdef RequestHead head
        cdef Onward onward
        cdef Listening door
        cdef int taken = 0
        if size > 0 and not (self._trusts and self.listener.expects_header(host_text(peer))):
            if buf[0] == HANDSHAKE:
                if read_hello(buf, size, &hello) and hello.size > 0:
                    door = self._door(fd, peer)
                    if door is not None:
                        try:
                            taken = door._take_tls(fd, peer, buf, size, &hello)
                        finally:
                            if door.host is not None:
                                plane.leave_host(door.host)
            elif self._takes_http:
                onward = self._onward_of(peer)
                if (
                    read_request(buf, size, &onward.limits, &head)
                    and head.size + max(head.length, 0) >= size
                ):
                    door = self._door(fd, peer)
                    if door is not None:
                        try:
                            taken = door._take_http(fd, peer, buf, size, &head, onward)
                        finally:
                            if door.host is not None:
                                plane.leave_host(door.host)
        if taken:
            return 0
        data = None
        if size >= 0:
            data = PyBytes_FromStringAndSize(<const char*>buf, size)
        elif errno != EAGAIN:
            data = b""
        try:
            self._entry.begin_fd(fd, peer_of(peer), data)
        finally:
            plane.ring.again = None
        return 0

    def forget(self, Listening door not None):
        """Forget the way in to a host that has left the table."""
        self._doors.pop(door._place, None)

    cdef long count_accepted(self) except -1:
        """Count a connection that is taken; return its number."""
        listener = self.listener if self.host is None else self._socket.listener
        cdef long number = listener.accepted + 1
        listener.accepted = number
        return number

    cdef Listening _door(self, int fd, const sockaddr_storage* peer):
        """The way in to where a connection was addressed to, counted in there if it is a host.

        None where the Python plane is to find out what is wrong with it.
        """
        cdef sockaddr_storage local
        cdef socklen_t size = sizeof(local)
        cdef Listening door
        cdef PyObject* found
        cdef bytes key
        cdef str ip
        if self._find_door is None:
            return self
        if getsockname(fd, <sockaddr*>&local, &size):
            return None
        key = self._key(&local, peer)
        found = PyDict_GetItem(self._doors, key)
        if found != NULL:
            door = <Listening>found
            host = door.host
            # Else the table has to be told, or to look at the address again.
            if host.open > 0 and host.generation == self.plane.hosts.generation:
                host.open += 1
                return door
        ip, port = peer_of(&local)[:2]
        if local.ss_family == AF_INET6 and "." in ip:   # an IPv4 address in the form of IPv6
            return None
        door = self._find_door((ip, port), host_text(peer))
        if door is not None:
            door._place = key
            self._doors[key] = door
        return door

    cdef bytes _key(self, const sockaddr_storage* local, const sockaddr_storage* peer):
        """A destination's address and port, and the client's address where hosts are to see it."""
        cdef const sockaddr_in* four = <const sockaddr_in*>local
        cdef const sockaddr_in6* six = <const sockaddr_in6*>local
        cdef bytes key
        if local.ss_family == AF_INET:
            key = PyBytes_FromStringAndSize(<const char*>&four.sin_port, 6)     # and sin_addr behind it
            four = <const sockaddr_in*>peer
            if self._tells_clients_apart:
                key += PyBytes_FromStringAndSize(<const char*>&four.sin_addr, 4)
            return key
        key = PyBytes_FromStringAndSize(<const char*>&six.sin6_port, 2)
        key += PyBytes_FromStringAndSize(<const char*>&six.sin6_addr, 20)       # with its scope
        six = <const sockaddr_in6*>peer
        if self._tells_clients_apart:
            key += PyBytes_FromStringAndSize(<const char*>&six.sin6_addr, 20)
        return key

    cdef TargetPool pool_for(self, Scheme scheme, verdict):
        """Where the traffic of a verdict's name goes; see NativePlane."""
        return self.plane.pool_for(scheme, verdict) if self.host is None else self._pool

    cdef Onward _onward_of(self, const sockaddr_storage* peer):
        """What is sent upstream for requests of a client, by whether its word counts."""
        if self._is_trusted is not None and self._is_trusted(host_text(peer)):
            return self._trusted
        return self._onward

    # What is plain. Each returns 1 if it has taken the connection, 0 to leave it to Python.

    cdef int _take_tls(
        self, int fd, const sockaddr_storage* peer, const uint8_t* buf, Py_ssize_t size, Hello* hello
    ) except -1:
        cdef NativePlane plane = self.plane
        cdef HeldVerdict verdict
        cdef TargetPool pool = None
        cdef Tunnel tunnel
        cdef str address
        cdef long number
        cdef bytes host
        if hello.end != size or (hello.ech and plane.blocks_ech):
            return 0                    # what is behind a hello waits for the answer to it
        if memchr(buf + hello.name, COLON, hello.size) != NULL:
            return 0
        host = PyBytes_FromStringAndSize(<const char*>buf + hello.name, hello.size)
        judged = plane.ring.look_up(host)
        if type(judged) is not HeldVerdict:
            return plane.leave_to_python(host, judged)
        verdict = judged
        if verdict.allowed or not self.enforces():
            pool = self.pool_for(TLS, verdict)
            if pool is None:
                return plane.leave_to_python(host, judged)
        number = self.count_accepted()
        plane.ech += hello.ech
        if pool is None:
            self.blocks(TLS, verdict, None, peer, number)
            return self._reset(fd)
        address = None if not self._observes_all and verdict.allowed else host_text(peer)
        self.passes(TLS, verdict, address, number)
        address = plane.enter(peer)
        if address is None:
            self.listener.blocks(TLS, plane.decider.limit, host_text(peer), number)
            return self._reset(fd)
        if self._is_tls:
            linger_off(fd)
        tunnel = Tunnel.__new__(Tunnel)
        tunnel.plane = plane
        tunnel.pool = pool
        tunnel.listener = self.listener
        tunnel.verdict = verdict
        tunnel.number = number
        tunnel._address = address
        tunnel._client = fd
        tunnel._family = self.family
        if self.host is not None:
            plane.enter_host(self.host)
            tunnel._host = self.host
        try:
            tunnel.open(buf, size)
        except Exception:
            plane.engine._failed(tunnel)
        return 1

    cdef int _take_http(
        self, int fd, const sockaddr_storage* peer, const uint8_t* buf, Py_ssize_t size,
        RequestHead* head, Onward onward,
    ) except -1:
        cdef NativePlane plane = self.plane
        cdef HeldVerdict verdict
        cdef TargetPool pool = None
        cdef Py_ssize_t path_size = 0
        cdef Client client
        cdef str address
        cdef long number
        cdef bytes host
        host = PyBytes_FromStringAndSize(<const char*>buf + head.host.at, head.host.size)
        judged = plane.ring.look_up(host)
        if type(judged) is not HeldVerdict:
            return plane.leave_to_python(host, judged)
        verdict = judged
        if verdict.allowed or not self.enforces():
            pool = self.pool_for(HTTP, verdict)
            if pool is None:
                return plane.leave_to_python(host, judged)
        else:
            path_size = plane.path_told(buf, head)
            if path_size < 0 or head.length >= 0 or plane.is_own_name(verdict):
                # Some want more than to be sent to the notice page; what one sends behind its body
                # decides how to close; the page is no way out of itself.
                return plane.leave_to_python(host, judged)
        number = self.count_accepted()
        if pool is None:
            self.blocks(HTTP, verdict, None, peer, number)
            return self._redirect(fd, verdict, buf + head.target.at, path_size)
        address = plane.enter(peer)
        if address is None:
            self.listener.blocks(TLS, plane.decider.limit, host_text(peer), number)
            return self._reset(fd)
        self.passes(HTTP, verdict, address, number)
        client = Client.__new__(Client)
        client.plane = plane
        client.listening = self
        client.onward = onward
        client.verdict = verdict
        client.number = number
        client._address = address
        client.fd = fd
        if self.host is not None:
            plane.enter_host(self.host)
            client._host = self.host
        try:
            client.begin(buf, size, head, pool)
        except Exception:
            plane.engine._failed(client)
        return 1

    cdef int _reset(self, int fd) except -1:
        """Close, with a reset: no byte was sent."""
        if not self._is_tls:
            reset_on_close(fd)
        close_fd(fd)
        return 1

    cdef int _redirect(
        self, int fd, HeldVerdict verdict, const uint8_t* path, Py_ssize_t path_size
    ) except -1:
        """Answer with the redirect and close: all that the client sent was read."""
        cdef NativePlane plane = self.plane
        cdef uint8_t* out = plane.engine.outgoing
        cdef Py_ssize_t size = plane.write_redirect(verdict, path, path_size, out)
        plane.requests += 1
        plane.respond(302)
        plane.end(ANSWERED)
        plane.bytes_down += size
        send(fd, out, size, MSG_NOSIGNAL | MSG_MORE)    # the close sends it, and the end with it
        close_fd(fd)
        return 1

    # Decisions, each noted once, when it is acted upon.

    cdef bint enforces(self) except -1:
        """Whether what is not allowed is blocked."""
        return self.listener.enforcing

    cdef int passes(self, Scheme scheme, HeldVerdict verdict, str address, long number) except -1:
        """Note that something is let through, allowed or not."""
        cdef Listening counting = self if self.host is None else self._socket
        if not verdict.allowed:
            self.listener.monitors(<int>scheme, verdict, address, number)
        elif self._observes_all:
            self.listener.passes(<int>scheme, verdict, address, number)
        else:
            counting._passed[<int>scheme][verdict.code] += 1
        return 0

    cdef int blocks(
        self, Scheme scheme, HeldVerdict verdict, str address, const sockaddr_storage* peer,
        long number,
    ) except -1:
        """Note that something is blocked; `peer` counts where the address is not there as text.

        As Observer.observe, which is told only while it has lines to make.
        """
        cdef PyObject* found
        cdef dict counts = self._counts
        if self.host is not None:       # those who observe are told of each with its destination
            if address is None:
                address = host_text(peer)
            self.listener.blocks(<int>scheme, verdict, address, number)
            return 0
        self._blocked[<int>scheme][verdict.code] += 1
        if counts is None:
            return 0
        found = PyDict_GetItem(counts, verdict)
        if found == NULL:
            if len(counts) >= FOLD_AT:
                self._observer.fold()
            counts[verdict] = 1
        else:
            counts[verdict] = <object>found + 1
        if self._observer.budget:
            if address is None:
                address = host_text(peer)
            self._observer.note(
                self.listener.name, _SCHEMES[<int>scheme], address, verdict, False, number
            )
        return 0

    def fold(self):
        """Add what was counted here to the listener's figures."""
        cdef int scheme, code
        for scheme in range(2):
            for code in range(len(self.listener.passed[scheme])):
                self.listener.passed[scheme][code] += self._passed[scheme][code]
                self.listener.blocked[scheme][code] += self._blocked[scheme][code]
        memset(self._passed, 0, sizeof(self._passed))
        memset(self._blocked, 0, sizeof(self._blocked))
