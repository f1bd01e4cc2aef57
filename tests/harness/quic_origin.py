"""An HTTP/3 origin of aioquic, in a thread of its own: says what was asked, and by whom."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.asyncio.server import QuicServer
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

from tests.harness.certificates import Certificates


class _Protocol(QuicConnectionProtocol):
    """One connection; the body of a response is the origin's name and what was asked for."""

    origin: QuicOrigin

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._http: H3Connection | None = None
        self._bodies: dict[int, int] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
            self.origin.versions.append(int(self._quic._version or 0))
        if self._http is not None:
            for item in self._http.handle_event(event):
                self._answer(self._http, item)

    def _answer(self, http: H3Connection, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            headers = dict(event.headers)
            self.origin.requests.append((headers[b":authority"], headers[b":path"]))
            if not event.stream_ended:
                self._bodies[event.stream_id] = 0
                return
            path = headers[b":path"]
            size = int(path.rpartition(b"size=")[2]) if b"size=" in path else 0
            body = self.origin.name + b" " + headers[b":authority"] + path
            self._send(http, event.stream_id, b"x" * size or body)
        elif isinstance(event, DataReceived):
            total = self._bodies.get(event.stream_id, 0) + len(event.data)
            self._bodies[event.stream_id] = total
            if event.stream_ended:
                self._send(http, event.stream_id, b"%d bytes" % total)

    def _send(self, http: H3Connection, stream: int, body: bytes) -> None:
        length = (b"content-length", str(len(body)).encode())
        http.send_headers(stream, [(b":status", b"200"), length])
        http.send_data(stream, body, end_stream=True)
        self.transmit()


class QuicOrigin:
    """The server; `requests` has (authority, path), `versions` that of each connection."""

    def __init__(
        self,
        certificates: Certificates,
        host: str = "127.0.0.1",
        *,
        port: int = 0,
        retry: bool = False,
        name: bytes = b"quic-origin",
    ) -> None:
        self.name = name
        self._at = host, port
        self.requests: list[tuple[bytes, bytes]] = []
        self.versions: list[int] = []
        self._ready: Future[int] = Future()
        self._certificates = certificates
        self._retry = retry
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.port = self._ready.result(10)
        self.address = f"{host}:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server: QuicServer = self._loop.run_until_complete(self._serve())
        transport = self._server._transport
        assert transport is not None
        self._ready.set_result(transport.get_extra_info("sockname")[1])
        self._loop.run_forever()

    async def _serve(self) -> QuicServer:
        configuration = QuicConfiguration(
            is_client=False, alpn_protocols=["h3"], max_datagram_frame_size=65536
        )
        configuration.load_cert_chain(self._certificates.chain, self._certificates.key)
        protocol = type("Protocol", (_Protocol,), {"origin": self})
        return await serve(
            *self._at, configuration=configuration, create_protocol=protocol,
            retry=self._retry,
        )  # fmt: skip

    def close(self) -> None:
        """Close all connections and the port."""

        async def end() -> None:
            self._server.close()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
