"""HTTP/3 requests with aioquic, as a test asks them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.asyncio.client import connect
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

from tests.harness.certificates import Certificates
from tests.harness.initial import V1


class Refused(Exception):
    """The connection was closed before it was one; the error code of the close."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with error {code:#x}")
        self.code = code


@dataclass(slots=True)
class Reply:
    """A response."""

    status: int = 0
    body: bytes = b""
    done: bool = False


class H3Client(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.http = H3Connection(self._quic)
        self._replies: dict[int, Reply] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.closed_with: int | None = None

    @property
    def version(self) -> int:
        """The version that was agreed on."""
        return int(self._quic._version or 0)

    async def get(self, authority: str, path: str = "/", body: bytes = b"") -> Reply:
        """Ask, and wait for the whole response."""
        stream = self._quic.get_next_available_stream_id()
        reply = self._replies[stream] = Reply()
        waiting = self._waiting[stream] = asyncio.get_running_loop().create_future()
        headers = [
            (b":method", b"POST" if body else b"GET"),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", path.encode()),
        ]
        self.http.send_headers(stream, headers, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        await waiting
        return reply

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self.closed_with = event.error_code
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Refused(event.error_code))
        for item in self.http.handle_event(event):
            if isinstance(item, HeadersReceived):
                self._replies[item.stream_id].status = int(dict(item.headers)[b":status"])
            elif isinstance(item, DataReceived):
                self._replies[item.stream_id].body += item.data
            else:
                continue
            if item.stream_ended:
                self._waiting[item.stream_id].set_result(None)


@contextlib.asynccontextmanager
async def h3_connection(
    port: int,
    name: str,
    certificates: Certificates,
    *,
    host: str = "127.0.0.1",
    version: int = V1,
    versions: list[int] | None = None,
    **settings: Any,
) -> AsyncIterator[H3Client]:
    """A connection to `name`. Raises Refused if it is closed before it is one."""
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=["h3"],
        server_name=name,
        original_version=version,
        supported_versions=versions or [version],
        **settings,
    )
    configuration.load_verify_locations(str(certificates.authority))
    client: list[H3Client] = []

    def protocol(*arguments: Any, **more: Any) -> H3Client:
        client.append(H3Client(*arguments, **more))
        return client[0]

    try:
        async with connect(
            host, port, configuration=configuration, create_protocol=protocol, wait_connected=False
        ) as connection:
            assert isinstance(connection, H3Client)
            connection.transmit()
            await connection.wait_connected()
            yield connection
    except ConnectionError:
        code = client[0].closed_with if client else None
        if code is None:
            raise
        raise Refused(code) from None


def fetch(
    port: int, name: str, certificates: Certificates, path: str = "/", **how: Any
) -> tuple[int, bytes]:
    """One request on a connection of its own: (status, body). Raises Refused, or TimeoutError."""
    seconds = how.pop("seconds", 10.0)
    body = how.pop("body", b"")

    async def run() -> tuple[int, bytes]:
        async with asyncio.timeout(seconds):
            async with h3_connection(port, name, certificates, **how) as connection:
                reply = await connection.get(name, path, body)
                return reply.status, reply.body

    return asyncio.run(run())
