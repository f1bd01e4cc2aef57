from gate.native.libc cimport sockaddr_storage, socklen_t

cdef str host_text(const sockaddr_storage* address)
cdef tuple peer_of(const sockaddr_storage* address)
cdef socklen_t read_address(tuple address, int family, sockaddr_storage* found) except 0
