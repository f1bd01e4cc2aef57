"""Who gets in at a listener of the control process or the registry: so many at a time, and for
how long.

The notice page is public and shares its process with the admin port and the registry's changes.
aiohttp bounds neither the number of its connections nor the time for a first request, and
asyncio's accept loop does not survive a lack of descriptors (it tries again for every place in
its backlog, and each try plans another). So what is over the limit is closed as it is accepted,
and a connection that has outlived its time is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import cast


class ConnectionLimit:
    """A protocol factory in front of another one, for `loop.create_server`."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        *,
        most: int,
        refused: Callable[[], None],
        seconds: float | None = None,
    ) -> None:
        """`most` connections at a time; each is cut after `seconds`.

        `refused` is told of each that is closed for the limit, a new one or an old one.

        With None for never, the one that has been silent for the longest time gives way to a
        new one: whoever holds connections open locks nobody out.
        """
        self._make = make
        self._most = most
        self._seconds = seconds
        self._inside: dict[asyncio.Transport, None] = {}  # the longest silent first
        self._refused = refused

    @property
    def connections(self) -> Collection[asyncio.Transport]:
        """Those who are inside."""
        return self._inside.keys()

    def __call__(self) -> asyncio.Protocol:
        """Return a protocol for one connection."""
        return _Limited(self, self._make)

    def enter(self, transport: asyncio.Transport) -> bool:
        """Let a connection in, or close it; another one may have to give way."""
        if len(self._inside) >= self._most:
            self._refused()
            if self._seconds is not None:
                transport.abort()
                return False
            silent = next(iter(self._inside))
            self.leave(silent)
            silent.abort()
        self._inside[transport] = None
        return True

    def leave(self, transport: asyncio.Transport) -> None:
        """A connection that was let in has ended."""
        self._inside.pop(transport, None)

    def heard(self, transport: asyncio.Transport) -> None:
        """A connection that was let in has sent something."""
        if transport in self._inside:
            del self._inside[transport]
            self._inside[transport] = None

    def limit_time(self, transport: asyncio.Transport) -> asyncio.TimerHandle | None:
        """Plan the end of a connection that was let in."""
        if self._seconds is None:
            return None
        return asyncio.get_running_loop().call_later(self._seconds, transport.abort)


class _Limited(asyncio.Protocol):
    """One connection: everything is handed on to the protocol behind it."""

    def __init__(self, limit: ConnectionLimit, make: Callable[[], asyncio.Protocol]) -> None:
        self._limit = limit
        self._make = make
        self._handler: asyncio.Protocol | None = None
        self._stream: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        if self._limit.enter(stream):
            self._stream = stream
            self._timer = self._limit.limit_time(stream)
            self._handler = self._make()
            self._handler.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        handler, self._handler = self._handler, None
        if handler is not None and self._stream is not None:
            self._limit.leave(self._stream)
            if self._timer is not None:
                self._timer.cancel()
            handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._handler is not None and self._stream is not None:
            self._limit.heard(self._stream)
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._handler is None else self._handler.eof_received()

    def pause_writing(self) -> None:
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        if self._handler is not None:
            self._handler.resume_writing()
