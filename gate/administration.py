"""The admin port and the notice page of the control process, on aiohttp.

Loaded when the workers have their link already: it takes longer to load than the rest of the gate,
and no traffic waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl

from aiohttp import web

from gate.control.admin import admin_app
from gate.control.api.operator import Operator
from gate.control.notice import notice_app
from gate.door import CannotServe, Door
from gate.settings import AdminTls
from gate.sync.tls import ServerContext, TlsError

_NOTICE_SECONDS = 15.0  # a visitor's whole stay; the page is one small answer
_HANDSHAKE_SECONDS = 5.0


async def serve_admin(
    stack: contextlib.AsyncExitStack, operator: Operator, sock: socket.socket
) -> Door:
    """Serve the admin port until the stack ends. Raises CannotServe for its certificates."""
    admin = operator.settings.admin
    return await _serve(
        stack, admin_app(operator), sock, most=admin.connections, tls=_tls(admin.tls)
    )


async def serve_notice(stack: contextlib.AsyncExitStack, sock: socket.socket, *, most: int) -> Door:
    """Serve the notice page until the stack ends."""
    return await _serve(stack, notice_app(), sock, most=most, seconds=_NOTICE_SECONDS)


def _tls(tls: AdminTls | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    try:
        return ServerContext(tls.certificate, tls.key, tls.client_ca).listening
    except TlsError as error:
        raise CannotServe(str(error)) from error


async def _serve(
    stack: contextlib.AsyncExitStack,
    app: web.Application,
    sock: socket.socket,
    *,
    most: int,
    seconds: float | None = None,
    tls: ssl.SSLContext | None = None,
) -> Door:
    """Serves `app` on `sock` until the stack ends, to `most` connections, each for `seconds`."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    make = runner.server
    if make is None:
        raise RuntimeError("the runner has no server after its setup")
    # Never so many that the process runs out of descriptors.
    affordable = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
    door = Door(make, most=min(most, affordable), seconds=seconds)
    # The door counts who is through with the handshake, so nobody may be long at it.
    server = await asyncio.get_running_loop().create_server(
        door,
        sock=sock,
        backlog=1024,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
    )
    stack.callback(server.close)
    return door
