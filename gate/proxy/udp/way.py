"""The way of one flow to its upstream: which endpoint, and what to do when nobody is there.

UDP has no handshake, so that an endpoint works shows when it answers. Until then the flow's first
datagrams are kept, if there is another endpoint that could have them.
"""

from __future__ import annotations

from socket import SocketType
from typing import Final

from gate.proxy.failure import EXHAUSTED, UNREACHABLE, Failure
from gate.proxy.udp.parts import QuicParts
from gate.proxy.upstream import OUT_OF_RESOURCES, OriginEndpoint, Pool

_PATIENCE_SECONDS: Final = 1.0
"""An endpoint that has not answered by then is passed over, if the client repeats itself."""


class Way:
    """The endpoints that a flow may try, each once."""

    __slots__ = ("_endpoint", "_parts", "_pool", "_since", "_tries", "first")

    def __init__(self, parts: QuicParts, pool: Pool, first: list[bytes]) -> None:
        self._parts = parts
        self._pool = pool
        self._tries = len(pool.endpoints)
        self._endpoint: OriginEndpoint | None = None
        self._since = 0.0
        self.first = first if pool.single is None else []
        """What another endpoint would have to be sent, too."""

    def connect(self) -> SocketType | Failure:
        """Return a socket to the next endpoint, or why there is none."""
        parts = self._parts
        now = parts.reactor.now
        while self._tries > 0:
            self._tries -= 1
            self._endpoint = endpoint = self._pool.single or self._pool.pick(now)
            self._since = now
            try:
                return endpoint.connect()
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    return EXHAUSTED
                endpoint.failed(now, parts.rest_seconds)
        return UNREACHABLE

    def refused(self) -> None:
        """The endpoint's machine says that nobody is there."""
        if self._endpoint is not None:
            self._endpoint.failed(self._parts.reactor.now, self._parts.rest_seconds)

    def is_silent(self) -> bool:
        """Return whether it is time for another endpoint, where there is one."""
        waits = self._parts.reactor.now - self._since > _PATIENCE_SECONDS
        if not (self.first and self._tries and waits):
            return False
        if self._endpoint is not None:
            self._endpoint.failed_once()  # it may be the client who makes no sense to it
        return True

    def answered(self) -> None:
        """The endpoint works."""
        self.first = []
        if self._endpoint is not None:
            self._endpoint.works()
