"""A client's address, as seen at one of ours: where answers go, and which flows are on it."""

from __future__ import annotations

from collections.abc import Hashable
from socket import SocketType
from typing import Any, Generic, TypeVar

from gate.proxy.connection import unmapped
from gate.proxy.datagrams import Control, Rows, sent_from

F = TypeVar("F")


class Path(Generic[F]):
    """One 4-tuple. Several connections may share it, each with IDs of its own.

    `only` is the flow that takes every 1-RTT packet of the path, if there is such a one.
    """

    __slots__ = (
        "_control",
        "_routes",
        "_rows",
        "_sock",
        "address",
        "flows",
        "host",
        "key",
        "local",
        "only",
    )

    def __init__(
        self, key: Hashable, sock: SocketType, rows: Rows, address: Any, local: bytes
    ) -> None:
        """`local` is the address that the client sends to, b"" if the socket has only one."""
        self.key = key
        self.address = address
        self.host: str = unmapped(address)[0]
        """The client's IP address, never an IPv4-mapped one."""
        self.local = local
        self._sock = sock
        self._rows = rows
        self._control: Control = sent_from(local)
        self._routes: dict[bytes, F | None] = {}  # by connection ID; None for what was cut
        self.flows: list[F] = []
        self.only: F | None = None

    def send(self, data: memoryview, segment: int = 0) -> int:
        """Send a datagram, or a row of them, to the client; return how many bytes went out."""
        if segment:
            return self._rows.send(self._sock, data, segment, self._control, self.address)
        return self._rows.send_one(self._sock, data, self._control, self.address)

    def add(self, flow: F) -> None:
        """A flow begins on this path."""
        self.flows.append(flow)
        self.only = None

    def route(self, cid: bytes, flow: F) -> None:
        """From now on, what is sent to `cid` is the flow's."""
        self._routes[cid] = flow

    def unroute(self, cid: bytes) -> None:
        """What is sent to `cid` is nobody's from now on."""
        self._routes.pop(cid, None)

    def find(self, cid: bytes) -> F | None:
        """Return the flow that has the ID. Raises KeyError if it was cut."""
        flow = self._routes.get(cid)
        if flow is None and cid in self._routes:
            raise KeyError(cid)
        return flow

    def starting(self, datagram: bytes) -> F | None:
        """Return the flow to whose ID a 1-RTT packet is sent. Raises KeyError if that was cut."""
        for cid, flow in self._routes.items():
            if cid and datagram.startswith(cid, 1):
                if flow is None:
                    raise KeyError(cid)
                return flow
        return None

    def ids_of(self, flow: F) -> list[bytes]:
        """Return the IDs that lead to a flow."""
        return [cid for cid, owner in self._routes.items() if owner is flow]

    def remove(self, flow: F, *, cut: bool) -> None:
        """A flow ends; the IDs of one that is cut lead nowhere for as long as the path is used."""
        self.flows.remove(flow)
        self.only = None
        for cid in self.ids_of(flow):
            if cut:
                self._routes[cid] = None
            else:
                del self._routes[cid]
