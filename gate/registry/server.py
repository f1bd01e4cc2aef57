"""Running the registry: opening what it needs, and serving the API until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import sys
from functools import partial
from ipaddress import ip_address

from aiohttp import web

from gate.changes.errors import Cause
from gate.net.accepting import Acceptor
from gate.net.bind import address_of
from gate.net.connection_limit import ConnectionLimit
from gate.net.descriptors import affordable
from gate.net.serving import running
from gate.net.tls import ServerContext
from gate.registry.api.app import make_app
from gate.registry.opening import open_registry
from gate.registry.places import Places
from gate.registry.service import CONNECTIONS, RegistryService
from gate.settings import RegistrySettings

_log = logging.getLogger(__name__)

STOP_SECONDS = 10
"""How long requests in hand have to end; long polls are cut at once."""


def make_service(places: Places, settings: RegistrySettings) -> RegistryService:
    """Return everything behind the API, ready to be started in the running event loop.

    Raises RegistryError, KeyStoreError, TlsError or OSError.
    """
    registry = open_registry(places, settings, readers=CONNECTIONS)
    try:
        registry.claim()
        places.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return RegistryService(registry, settings, places)
    except BaseException:
        registry.database.close()
        raise


async def serve(
    service: RegistryService,
    listener: socket.socket,
    *,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve the API on a listening socket until `stop` is set, or else TERM or INT comes.

    Raises TlsError for certificates that can't be used.
    """
    files = service.settings.tls
    tls = None
    if files is not None:
        tls = ServerContext(files.certificate, files.key, files.client_ca).listening
    elif not ip_address(listener.getsockname()[0]).is_loopback:
        _log.warning("plain HTTP beyond loopback: tokens can be read on the way; set registry.tls")
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(make_app(service), stop_seconds=STOP_SECONDS) as server:
        admitting = asyncio.create_task(_admit(service, server, listener, tls))
        admitting.add_done_callback(lambda task: stop.set())
        _log.info("the registry listens on %s", address_of(listener))
        try:
            await stop.wait()
        finally:
            admitting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await admitting
        listener.close()
        service.feed.stop()


async def _admit(
    service: RegistryService,
    server: web.Server,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
) -> None:
    """Let clients in until cancelled; a quarter of the places is for those at their handshake."""
    most = affordable(service.settings.connections)
    turned_away = service.turned_away

    def refused(cause: Cause) -> None:
        turned_away[cause] += 1

    limit = ConnectionLimit(
        server, most=max(most * 3 // 4, 1), refused=partial(refused, Cause.LIMIT)
    )
    await Acceptor(limit, most=most, tls=tls, refused=refused).serve(listener)


def prefer_latency() -> None:
    """Have threads that work on the database let the event loop in sooner than after the usual
    5 ms: a change passes through the loop several times on its way to the gates."""
    sys.setswitchinterval(0.001)
