"""UDP sockets as the gate uses them: many datagrams a call, none fragmented, the right sender.

- With UDP_GRO a read may bring many datagrams of one sender, all of one size but the last, with
  that size beside them; with UDP_SEGMENT a write sends such a row (GSO). A relayed datagram then
  costs a fraction of a system call. Where a device can't do that, the write fails with EIO
  (quic-go#3911: it needs checksum offload), and each datagram is sent by itself from then on.
- DF is set and the path's MTU is left to the two ends, who probe for it (RFC 9000 section 14): what
  is too long for a link is lost there, as without a gate.
- A socket that is bound to every address asks which one a datagram came to (IP_PKTINFO), and
  answers from there: else a client with a machine of several addresses hears from another one
  than it asked (haproxy#3503, quilkin#936).
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

# Linux: linux/udp.h, linux/in.h, linux/in6.h, asm-generic/socket.h; Python names few of them.
SOL_UDP: Final = 17
_IP: Final = int(socket.IPPROTO_IP)
_IPV6: Final = int(socket.IPPROTO_IPV6)
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_IP_PKTINFO: Final = 8
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_IPV6_PKTINFO: Final = socket.IPV6_PKTINFO
_PROBE: Final = 3  # IP_PMTUDISC_PROBE, IPV6_PMTUDISC_PROBE
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32
_SO_MEMINFO: Final = 55
_DROPS: Final = struct.Struct("@8I")  # SK_MEMINFO_DROPS is the ninth

BUFFER_BYTES: Final = 1 << 16
"""Room for the longest row of datagrams that one read can bring."""
CONTROL_BYTES: Final = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(4)
"""Room for the control messages that come with one: an IPv6 address, and the size."""
QUEUE_BYTES: Final = 4 << 20
"""What is asked of the kernel for a listening socket's queue; it gives less without a right."""

_TOO_LONG: Final = frozenset({errno.EINVAL, errno.EMSGSIZE})
"""A row with datagrams that are longer than the link's MTU; its last one may be shorter."""
_MOST_SIZES: Final = 256
_DATAGRAM: Final = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})
_int: Final = struct.Struct("@i").unpack_from
_uint16: Final = struct.Struct("@H")
# struct in_pktinfo: interface, local address, address of the header.
_PKTINFO4: Final = struct.Struct("@i4s4s")
# struct in6_pktinfo: address, interface.
_PKTINFO6: Final = struct.Struct("@16sI")

Control = list[tuple[int, int, bytes]]
"""Control messages, as sendmsg() takes them."""


def prepare_listener(sock: socket.socket, *, transparent: bool = False) -> None:
    """Set the options of a socket that clients send to; a transparent one has many addresses."""
    sock.setblocking(False)
    _prepare(sock)
    if transparent or sock.getsockname()[0] in _UNSPECIFIED:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def widen_queues(sock: socket.socket) -> None:
    """Ask for long queues; CAP_NET_ADMIN gives them, else the machine's net.core.rmem_max does."""
    for force, plain in (
        (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
        (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
    ):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, QUEUE_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, plain, QUEUE_BYTES)


def connect(
    family: int, address: Any, bind: Callable[[socket.SocketType], None] | None = None
) -> socket.SocketType:
    """Return a non-blocking socket that sends to `address` and hears nobody else.

    `bind` binds it first. Raises OSError.
    """
    sock = socket.SocketType(family, _DATAGRAM)
    try:
        _prepare(sock)
        if bind is not None:
            bind(sock)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.SocketType) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
    sock.setsockopt(SOL_UDP, _UDP_GRO, 1)


def segment_of(control: Iterable[tuple[int, int, bytes]]) -> int:
    """Return the size of each datagram in a row but the last; 0 for a single one."""
    for level, kind, data in control:
        if kind == _UDP_GRO and level == SOL_UDP:
            segment: int = _int(data)[0]
            return segment
    return 0


def told_with(control: Iterable[tuple[int, int, bytes]]) -> tuple[int, bytes]:
    """Return the same size, and the address that a row or datagram was sent to.

    That is four or sixteen bytes, b"" if it was not told.
    """
    segment, local = 0, b""
    for level, kind, data in control:
        if kind == _UDP_GRO and level == SOL_UDP:
            segment = _int(data)[0]
        elif kind == _IP_PKTINFO and level == _IP:
            local = _PKTINFO4.unpack_from(data)[2]
        elif kind == _IPV6_PKTINFO and level == _IPV6:
            local = _PKTINFO6.unpack_from(data)[0]
    return segment, local


def sent_from(local: bytes) -> Control:
    """Return the control message that has a datagram sent from the address `local`."""
    if len(local) == 4:
        return [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO4.pack(0, local, bytes(4)))]
    if len(local) == 16:
        return [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, _PKTINFO6.pack(local, 0))]
    return []


def kernel_drops(sock: socket.SocketType) -> int:
    """Return how many datagrams the kernel had no room for in the socket's queue."""
    info = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
    return int(struct.unpack_from("@I", info, 32)[0]) if len(info) >= 36 else 0


class Rows:
    """Sends rows of datagrams: in one call where the way there can do it, else one by one."""

    __slots__ = ("_segments", "dropped", "offload")

    def __init__(self) -> None:
        self.offload = True
        """Whether no device has refused a row yet."""
        self.dropped = 0
        """Datagrams that the kernel did not take; the ends send again what they miss."""
        self._segments: dict[int, Control] = {}  # what says that a row is one; sizes are few

    def send(
        self,
        sock: socket.SocketType,
        data: memoryview,
        segment: int,
        control: Control,
        address: Any = None,
    ) -> int:
        """Send `data`, which is one datagram, or a row of them of `segment` bytes each.

        Returns how many bytes went out. Raises ConnectionRefusedError if a connected socket has
        heard that nobody is there.
        """
        if not segment or len(data) <= segment:
            return self.send_one(sock, data, control, address)
        if self.offload:
            row = self._segments.get(segment)
            if row is None:
                if len(self._segments) >= _MOST_SIZES:
                    self._segments.clear()
                row = self._segments[segment] = [(SOL_UDP, _UDP_SEGMENT, _uint16.pack(segment))]
            if control:
                row = [*control, *row]
            try:
                if address is None:
                    return sock.sendmsg((data,), row)
                return sock.sendmsg((data,), row, 0, address)
            except ConnectionRefusedError:
                raise
            except OSError as error:
                if error.errno == errno.EIO:
                    self.offload = False
                elif error.errno not in _TOO_LONG:
                    self.dropped += -(-len(data) // segment)
                    return 0
        return sum(
            self.send_one(sock, data[at : at + segment], control, address)
            for at in range(0, len(data), segment)
        )

    def send_one(
        self, sock: socket.SocketType, data: memoryview, control: Control, address: Any = None
    ) -> int:
        """Return the same for a single datagram."""
        try:
            if address is None:
                return sock.send(data)
            if control:
                return sock.sendmsg((data,), control, 0, address)
            return sock.sendto(data, address)
        except ConnectionRefusedError:
            raise
        except OSError:  # no room, or longer than the link's MTU: lost, as on any link
            self.dropped += 1
            return 0
