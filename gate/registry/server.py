"""Running the registry: opening what it needs, and serving the API until told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from gate.registry.api.app import make_app
from gate.registry.api.service import CONNECTIONS, Limits, Service
from gate.registry.database import Database
from gate.registry.migrations import migrate
from gate.registry.registry import Registry
from gate.registry.sealing import Sealer
from gate.settings import Registry as RegistrySettings

_log = logging.getLogger(__name__)

STOP_SECONDS = 10
"""How long requests in hand have to end; long polls are cut at once."""


@dataclass(slots=True, frozen=True)
class Places:
    """Where a registry keeps things: its database (path or URL), its keys, its working folder."""

    database: str
    keys_dir: Path
    folder: Path

    @classmethod
    def of(cls, settings: RegistrySettings, state_dir: Path) -> Places:
        """The places that the settings name, or the usual ones in the state folder."""
        return cls(
            database=settings.database or str(state_dir / "registry.db"),
            keys_dir=settings.keys_dir or state_dir / "keys",
            folder=state_dir / "registry",
        )


def open_registry(places: Places, settings: RegistrySettings, *, readers: int = 2) -> Registry:
    """Open the database, and bring its schema up to date.

    Raises RegistryError `database_unavailable`, `busy` or `schema_unknown`.
    """
    database = Database(places.database, readers=readers)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return Registry(database, provider=settings.provider)


def make_service(places: Places, settings: RegistrySettings) -> Service:
    """Everything behind the API, ready to be started in an event loop.

    Call it inside the running loop. Raises RegistryError or KeyStoreError.
    """
    registry = open_registry(places, settings, readers=CONNECTIONS)
    places.folder.mkdir(parents=True, exist_ok=True)
    return Service(
        registry,
        Sealer(places.keys_dir),
        places.folder,
        Limits(
            body_bytes=settings.body_bytes,
            upload_bytes=settings.upload_bytes,
            keep_changes=settings.keep_changes,
            snapshot_seconds=settings.snapshot_seconds,
        ),
    )


async def serve(
    service: Service,
    sockets: list[socket.socket],
    *,
    tls: ssl.SSLContext | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve the API on listening sockets until `stop` is set, or else TERM or INT comes."""
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
        for listener in sockets:
            await web.SockSite(runner, listener, ssl_context=tls).start()
            _log.info("the registry listens on %s", listener.getsockname())
        await stop.wait()
        service.feed.stop()
    finally:
        await runner.cleanup()


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)
