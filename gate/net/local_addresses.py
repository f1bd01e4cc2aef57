"""Whether an address is this machine's own, as the kernel's routing says (rtnetlink(7)).

A connection to one of ours must never be sent on to where it was addressed: it would come back.
Only the kernel knows all of these: addresses of interfaces, those routed to the loopback, and those
for many receivers. What it said holds until an address comes or goes, which it tells, too.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

_REQUEST: Final = 1  # NLM_F_REQUEST
_GET_ROUTE: Final = 26  # RTM_GETROUTE
_NEW_ROUTE: Final = 24  # RTM_NEWROUTE
_ERROR: Final = 2  # NLMSG_ERROR
_DESTINATION: Final = 1  # RTA_DST
_CHANGES: Final = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
# RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST
_OURS: Final = frozenset((2, 3, 4, 5))
_header: Final = struct.Struct("=IHHII")
_route: Final = struct.Struct("=BBBBBBBBI")
_attribute: Final = struct.Struct("=HH")
_NOWHERE: Final = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EACCES))
_SECONDS: Final = 1.0


class LocalAddresses:
    """Asks the kernel; `generation` is another number when an earlier answer may not hold."""

    def __init__(self) -> None:
        """Raises OSError without the right to ask, or a descriptor for it."""
        self._asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._asking.settimeout(_SECONDS)
        self._hearing = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._hearing.setblocking(False)
        self._hearing.bind((0, _CHANGES))
        self._number = 0
        self.generation = 0

    def fileno(self) -> int:
        """Return the descriptor that is readable when an address has come or gone."""
        return self._hearing.fileno()

    def on_ready(self, _events: int) -> None:
        """An address has come or gone: nothing that was said before holds."""
        self.generation += 1
        try:
            while self._hearing.recv(1 << 16):
                pass
        except OSError:  # nothing more, or more than there was room for
            return

    def has(self, ip: IPv4Address | IPv6Address) -> bool:
        """Return whether packets to an address end at this machine, or at more than one.

        Raises OSError if the kernel does not say.
        """
        self._number += 1
        family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        packed = ip.packed
        body = _route.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
        body += _attribute.pack(_attribute.size + len(packed), _DESTINATION) + packed
        self._asking.send(
            _header.pack(_header.size + len(body), _GET_ROUTE, _REQUEST, self._number, 0) + body
        )
        while True:
            answer = self._asking.recv(1 << 13)
            _, kind, _, number, _ = _header.unpack_from(answer)
            if number != self._number:
                continue  # of a question whose answer came too late
            if kind == _NEW_ROUTE:
                return _route.unpack_from(answer, _header.size)[7] in _OURS
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", answer, _header.size)
                if -code in _NOWHERE:
                    return False
                raise OSError(-code, os.strerror(-code))

    def close(self) -> None:
        """Ask no more."""
        self._asking.close()
        self._hearing.close()
