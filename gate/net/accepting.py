"""Who gets in at the push port and at the registry's: so many connections at a time, each with so
long for its TLS.

asyncio's own accept loop counts nothing before the handshake is over, so strangers could take
every descriptor of the process, and the admin port's and the sync's with them. Nor does it
survive a lack of descriptors: it tries again for every place in its backlog.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sized
from typing import Final, Protocol

from gate.changes.errors import Cause
from gate.net.descriptors import affordable

_HANDSHAKE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.25  # when a connection can't be accepted for want of descriptors


class Server(Protocol):
    """What makes a protocol for each connection, and knows how many are with it."""

    @property
    def connections(self) -> Sized: ...

    def __call__(self) -> asyncio.BaseProtocol: ...


class Acceptor:
    """Accepts connections for `server`, `most` at a time and never a quarter of the descriptors."""

    def __init__(
        self,
        server: Server,
        *,
        most: int,
        tls: ssl.SSLContext | None,
        refused: Callable[[Cause], None],
    ) -> None:
        """`refused` is told of each connection that was closed before its first request."""
        self._server = server
        self._most = affordable(most)
        self._tls = tls
        self._refused = refused
        self._arriving: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept until cancelled; what is inside then is the server's to end."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        try:
            while True:
                # `sock_accept` does not pause while connections wait: let those go in that can.
                await asyncio.sleep(0)
                try:
                    sock, _ = await loop.sock_accept(listener)
                except OSError:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                if len(self._arriving) + len(self._server.connections) >= self._most:
                    sock.close()
                    self._refused(Cause.LIMIT)
                    continue
                task = loop.create_task(self._let_in(sock))
                self._arriving.add(task)
                task.add_done_callback(self._arriving.discard)
        finally:
            for task in self._arriving:
                task.cancel()

    async def _let_in(self, sock: socket.socket) -> None:
        seconds = None if self._tls is None else _HANDSHAKE_SECONDS
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._server, sock, ssl=self._tls, ssl_handshake_timeout=seconds
            )
        except OSError:  # no TLS, no certificate that counts, too slow, or gone
            self._refused(Cause.HANDSHAKE)
