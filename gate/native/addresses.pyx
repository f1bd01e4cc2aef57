"""Socket addresses, as the kernel and as Python has them."""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

import os
import socket

from gate.native.libc cimport (
    AF_INET, AF_INET6, INET6_ADDRSTRLEN, inet_ntop, ntohs, sockaddr_in, sockaddr_in6,
    sockaddr_storage, socklen_t,
)


cdef const uint8_t* _MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"


cdef str _dotted(const uint8_t* octets):
    """An IPv4 address; inet_ntop goes through snprintf for it."""
    cdef char text[16]
    cdef int i, size = 0, value
    for i in range(4):
        value = octets[i]
        if value > 99:
            text[size] = <char>(48 + value // 100)
            size += 1
        if value > 9:
            text[size] = <char>(48 + value // 10 % 10)
            size += 1
        text[size] = <char>(48 + value % 10)
        text[size + 1] = b"."
        size += 2
    return PyUnicode_DecodeASCII(text, size - 1, NULL)


cdef str host_text(const sockaddr_storage* address):
    """The IP address as gate.proxy.connection has it, "" for one of another family."""
    cdef char text[64]
    cdef const sockaddr_in6* six = <const sockaddr_in6*>address
    if address.ss_family == AF_INET:
        return _dotted(<const uint8_t*>&(<const sockaddr_in*>address).sin_addr)
    if address.ss_family != AF_INET6:
        return ""
    if memcmp(&six.sin6_addr, _MAPPED, 12) == 0:    # RFC 4291 2.5.5.2: it is that IPv4 address
        return _dotted(<const uint8_t*>&six.sin6_addr + 12)
    if inet_ntop(AF_INET6, &six.sin6_addr, text, INET6_ADDRSTRLEN) == NULL:
        raise OSError(errno, os.strerror(errno))
    if six.sin6_scope_id:       # link-local: the interface belongs to it
        return socket.getnameinfo(
            (text.decode("ascii"), 0, 0, six.sin6_scope_id), socket.NI_NUMERICHOST
        )[0]
    return text.decode("ascii")


cdef tuple peer_of(const sockaddr_storage* address):
    """What gate.proxy.connection has for a peer."""
    cdef const sockaddr_in6* six = <const sockaddr_in6*>address
    if address.ss_family == AF_INET:
        return host_text(address), ntohs((<const sockaddr_in*>address).sin_port)
    if address.ss_family == AF_INET6:
        return host_text(address), ntohs(six.sin6_port), six.sin6_flowinfo, six.sin6_scope_id
    return ("", 0)


cdef socklen_t read_address(tuple address, int family, sockaddr_storage* found) except 0:
    """Write an address of Python's (as `socket.getaddrinfo` gives it); return its size.

    Raises OSError for one that is no IP address.
    """
    cdef bytes packed
    cdef sockaddr_in* four = <sockaddr_in*>found
    cdef sockaddr_in6* six = <sockaddr_in6*>found
    memset(found, 0, sizeof(sockaddr_storage))
    packed = socket.inet_pton(family, address[0].partition("%")[0])
    if family == AF_INET:
        four.sin_family = AF_INET
        four.sin_port = socket.htons(address[1])
        memcpy(&four.sin_addr, PyBytes_AS_STRING(packed), 4)
        return sizeof(sockaddr_in)
    six.sin6_family = AF_INET6
    six.sin6_port = socket.htons(address[1])
    six.sin6_scope_id = address[3] if len(address) > 3 else 0
    memcpy(&six.sin6_addr, PyBytes_AS_STRING(packed), 16)
    return sizeof(sockaddr_in6)
