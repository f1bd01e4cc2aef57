from libc.stdint cimport uint8_t, uint32_t

from gate.native.engine cimport Ready
from gate.native.hello cimport Hello
from gate.native.libc cimport sockaddr_storage
from gate.native.onward cimport Onward
from gate.native.plane cimport NativePlane, Scheme, TargetPool
from gate.native.request_head cimport RequestHead
from gate.native.verdicts cimport MOST_REASONS, HeldVerdict

cdef class Listening(Ready):
    cdef NativePlane plane
    cdef readonly object listener       # gate.proxy.listener.ListenerState
    cdef int family
    cdef Onward _onward                 # what is sent upstream for a request
    cdef Onward _trusted                # and for those of a client whose word counts, or None
    cdef object _is_trusted             # says by an address whether that is one
    cdef object _entry                  # gate.proxy.accept.Entry: takes what is not plain
    cdef object _observer               # gate.worker.observer.Observer, or None
    cdef dict _counts                   # the observer's, by verdict
    cdef object _find_door              # gives the Listening of a destination, for a transparent one
    cdef readonly object host           # gate.proxy.hosts.HostPool: where this leads to alone, or None
    cdef bytes _place                   # of this one among the doors of its socket
    cdef dict _doors                    # by what _door makes of a destination, and of a client
    cdef bint _tells_clients_apart      # a host is another one for each client
    cdef TargetPool _pool               # of the host
    cdef Listening _socket              # whose connections these are, where it leads to a host alone
    cdef int _fd
    cdef int _guess
    cdef bint _is_open, _is_tls, _takes_http, _trusts, _observes_all
    cdef long _passed[2][MOST_REASONS]
    cdef long _blocked[2][MOST_REASONS]

    cdef int accept_one(self) except -1
    cdef int _begin(self, int fd, const sockaddr_storage* peer) except -1
    cdef int _take_tls(
        self, int fd, const sockaddr_storage* peer, const uint8_t* buf, Py_ssize_t size, Hello* hello
    ) except -1
    cdef int _take_http(
        self, int fd, const sockaddr_storage* peer, const uint8_t* buf, Py_ssize_t size,
        RequestHead* head, Onward onward,
    ) except -1
    cdef long count_accepted(self) except -1
    cdef Listening _door(self, int fd, const sockaddr_storage* peer)
    cdef bytes _key(self, const sockaddr_storage* local, const sockaddr_storage* peer)
    cdef TargetPool pool_for(self, Scheme scheme, verdict)
    cdef int _reset(self, int fd) except -1
    cdef int _redirect(
        self, int fd, HeldVerdict verdict, const uint8_t* path, Py_ssize_t path_size
    ) except -1
    cdef bint enforces(self) except -1
    cdef Onward _onward_of(self, const sockaddr_storage* peer)
    cdef int passes(self, Scheme scheme, HeldVerdict verdict, str address, long number) except -1
    cdef int blocks(
        self, Scheme scheme, HeldVerdict verdict, str address, const sockaddr_storage* peer,
        long number,
    ) except -1
