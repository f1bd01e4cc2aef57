"""The demo origin: a web server that says what reached it, over HTTP and HTTPS."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from gate.ipc.scoreboard import ProcessRow


@dataclass(slots=True, frozen=True)
class DemoOrigin:
    """The origin's listening sockets and its certificate."""

    http: socket.socket
    https: socket.socket
    certificate: Path
    key: Path


def open_origin(certificate: Path, key: Path) -> DemoOrigin:
    """Return an origin on two free loopback ports."""
    return DemoOrigin(_listen(), _listen(), certificate, key)


def _listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def run_origin(origin: DemoOrigin, row: ProcessRow) -> int:
    """Serve until told to end."""
    return asyncio.run(_serve(origin, row))


async def _serve(origin: DemoOrigin, row: ProcessRow) -> int:
    leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(origin.certificate, origin.key)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, origin.http).start()
    await web.SockSite(runner, origin.https, ssl_context=context).start()
    beating = asyncio.create_task(row.beat_on(serving=lambda: True))
    await leave.wait()
    beating.cancel()
    await runner.cleanup()
    return 0


async def _answer(request: web.Request) -> web.Response:
    secure = request.transport is not None and request.transport.get_extra_info("sslcontext")
    scheme = "HTTPS" if secure else "HTTP"
    return web.Response(
        text=f"The origin got {request.method} {request.path} for {request.host} over {scheme}.\n"
    )
