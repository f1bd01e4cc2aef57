"""The admin port and the notice page of the control process, on aiohttp.

Loaded when the workers have their link already: it takes longer to load than the rest of the gate,
and no traffic waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from aiohttp import web

from gate.control.api.app import add_routes, answer
from gate.control.api.endpoint import BODY_BYTES
from gate.control.api.service import AdminService
from gate.control.errors import CannotServe
from gate.control.metrics.exposition import Exposition
from gate.control.notice.app import Contact, notice_app
from gate.control.operators.explaining import Explainer
from gate.control.page.handler import show_page
from gate.net.connection_limit import ConnectionLimit
from gate.net.descriptors import affordable
from gate.net.serving import running
from gate.net.tls import ServerContext, TlsError
from gate.policy import Reason
from gate.settings import AdminTls, Notice

_NOTICE_SECONDS = 15.0  # a visitor's whole stay; the page is one small answer
_HANDSHAKE_SECONDS = 5.0


async def serve_admin(
    stack: contextlib.AsyncExitStack,
    service: AdminService,
    exposition: Exposition,
    sock: socket.socket,
    refused: Callable[[], None],
) -> None:
    """Serve the admin port until the stack ends. Raises CannotServe for its certificates.

    `refused` is told of each connection over the limit.
    """
    admin, app = service.settings.admin, admin_app(service, exposition)
    await _serve(stack, app, sock, refused, most=admin.connections, tls=_tls(admin.tls))


def admin_app(service: AdminService, exposition: Exposition) -> web.Application:
    """Return the admin application."""
    health = service.health

    async def healthz(request: web.Request) -> web.Response:
        """200 while the control process answers at all."""
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        """200 when the gate takes traffic, else 503 with the reasons."""
        reasons = health.check()
        status = 503 if reasons else 200
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=status)

    async def metrics(request: web.Request) -> web.Response:
        """Return all figures of all workers, in the format that the scraper asks for."""
        health.check()
        await service.figures.collect_from(service.workers)
        body, content_type = exposition.expose(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application(middlewares=[answer], client_max_size=BODY_BYTES)
    app.router.add_get("/", show_page)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    add_routes(app, service)
    return app


async def serve_notice(
    stack: contextlib.AsyncExitStack,
    notice: Notice,
    explainer: Explainer,
    sock: socket.socket,
    refused: Callable[[], None],
) -> None:
    """Serve the notice page until the stack ends; `refused` as above."""

    def judge(domain: str) -> Reason:
        return explainer.explain(domain).verdict.reason

    app = notice_app(Contact.of(notice), judge)
    await _serve(stack, app, sock, refused, most=notice.connections, seconds=_NOTICE_SECONDS)


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
    refused: Callable[[], None],
    *,
    most: int,
    seconds: float | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve `app` on `sock` until the stack ends, to `most` connections, each for `seconds`."""
    # Never so many that the process runs out of descriptors.
    server = await stack.enter_async_context(running(app, stop_seconds=1.0))
    limit = ConnectionLimit(server, most=affordable(most), seconds=seconds, refused=refused)
    # The limit counts who is through with the handshake, so nobody may be long at it.
    listening = await asyncio.get_running_loop().create_server(
        limit,
        sock=sock,
        backlog=1024,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
    )
    stack.callback(listening.close)
