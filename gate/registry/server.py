"""Running the registry: opening what it needs, and serving the API until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import ssl
import sys
from ipaddress import ip_address

from aiohttp import web

from gate.door import Door
from gate.registry.api.app import make_app
from gate.registry.api.service import CONNECTIONS, Service
from gate.registry.opening import open_registry
from gate.registry.places import Places
from gate.settings import Registry as RegistrySettings
from gate.sync.entrance import Entrance
from gate.sync.errors import Cause
from gate.sync.tls import ServerContext

_log = logging.getLogger(__name__)

STOP_SECONDS = 10
"""How long requests in hand have to end; long polls are cut at once."""


def make_service(places: Places, settings: RegistrySettings) -> Service:
    """Everything behind the API, ready to be started in the running event loop.

    Raises RegistryError, KeyStoreError, TlsError or OSError.
    """
    registry = open_registry(places, settings, readers=CONNECTIONS)
    try:
        places.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Service(registry, settings, places)
    except BaseException:
        registry.database.close()
        raise


async def serve(
    service: Service,
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
    runner = web.AppRunner(
        make_app(service),
        access_log=None,
        shutdown_timeout=STOP_SECONDS,
        handle_signals=False,
    )
    await runner.setup()
    try:
        admitting = asyncio.create_task(_admit(service, runner, listener, tls))
        admitting.add_done_callback(lambda task: stop.set())
        _log.info("the registry listens on %s", listener.getsockname())
        try:
            await stop.wait()
        finally:
            admitting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await admitting
        listener.close()
        service.feed.stop()
    finally:
        await runner.cleanup()


async def _admit(
    service: Service, runner: web.AppRunner, listener: socket.socket, tls: ssl.SSLContext | None
) -> None:
    """Let clients in until cancelled; a quarter of the places is for those at their handshake."""
    if runner.server is None:
        raise RuntimeError("the runner has no server after its setup")
    most = min(service.settings.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
    door = Door(runner.server, most=max(most * 3 // 4, 1))
    turned_away = service.turned_away

    def refused(cause: Cause) -> None:
        turned_away[cause] += 1

    service.evicted = lambda: door.refused
    await Entrance(door, most=most, tls=tls, refused=refused).serve(listener)


def prefer_latency() -> None:
    """Have threads that work on the database let the event loop in sooner than after the usual
    5 ms: a change passes through the loop several times on its way to the gates."""
    sys.setswitchinterval(0.001)
