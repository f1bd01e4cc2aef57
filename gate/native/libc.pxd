"""The system calls that the engine makes, and the constants they take (Linux).

All of them leave errno behind, and none holds on to the interpreter's lock unless it may wait.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    ctypedef unsigned short sa_family_t

    struct sockaddr:
        sa_family_t sa_family

    struct sockaddr_storage:
        sa_family_t ss_family

    struct linger:
        int l_onoff
        int l_linger

    int bind(int fd, const sockaddr* address, socklen_t size)
    int getsockname(int fd, sockaddr* address, socklen_t* size)
    int accept4(int fd, sockaddr* address, socklen_t* size, int flags)
    int connect(int fd, const sockaddr* address, socklen_t size)
    int getsockopt(int fd, int level, int option, void* value, socklen_t* size)
    ssize_t recv(int fd, void* buf, size_t size, int flags)
    ssize_t send(int fd, const void* buf, size_t size, int flags)
    int setsockopt(int fd, int level, int option, const void* value, socklen_t size)
    int shutdown(int fd, int how)
    int socket(int family, int type, int protocol)

    enum:
        AF_INET
        AF_INET6
        MSG_DONTWAIT
        MSG_MORE
        MSG_NOSIGNAL
        MSG_PEEK
        SHUT_WR
        SOCK_CLOEXEC
        SOCK_NONBLOCK
        SOCK_STREAM
        SOL_SOCKET
        SO_ERROR
        SO_LINGER

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr

    struct in6_addr:
        uint8_t s6_addr[16]

    struct sockaddr_in:
        sa_family_t sin_family
        uint16_t sin_port
        in_addr sin_addr

    struct sockaddr_in6:
        sa_family_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id

    enum:
        INET6_ADDRSTRLEN
        IPPROTO_IP
        IPPROTO_IPV6
        IPPROTO_TCP
        IPV6_TRANSPARENT
        IP_BIND_ADDRESS_NO_PORT
        IP_TRANSPARENT

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_NODELAY

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t ntohs(uint16_t value)
    const char* inet_ntop(int family, const void* source, char* text, socklen_t size)

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64

    struct epoll_event:
        uint32_t events
        epoll_data_t data

    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int most, int milliseconds)

    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
        EPOLLERR
        EPOLLET
        EPOLLHUP
        EPOLLIN
        EPOLLOUT
        EPOLLPRI
        EPOLLRDHUP

cdef extern from "<fcntl.h>" nogil:
    ctypedef long loff_t

    ssize_t splice(int source, loff_t* at, int sink, loff_t* to, size_t size, unsigned int flags)
    int fcntl(int fd, int command, ...)

    enum:
        F_SETPIPE_SZ
        O_CLOEXEC
        O_NONBLOCK
        SPLICE_F_MOVE
        SPLICE_F_NONBLOCK

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    int pipe2(int* ends, int flags)

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    ctypedef int clockid_t

    struct timespec:
        time_t tv_sec
        long tv_nsec

    int clock_gettime(clockid_t clock, timespec* now)
    int clock_nanosleep(clockid_t clock, int flags, const timespec* length, timespec* left)
    time_t time(time_t* now)

    enum:
        CLOCK_MONOTONIC

cdef extern from "<sys/prctl.h>" nogil:
    int prctl(int option, unsigned long value)

    enum:
        PR_SET_TIMERSLACK

cdef inline double monotonic() noexcept nogil:
    """Seconds of the clock that `time.monotonic` reads."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <double>now.tv_sec + <double>now.tv_nsec * 1e-9
