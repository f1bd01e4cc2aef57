"""Registries for the sync's benchmarks: the real service here, or a finished snapshot."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
from aiohttp import web

from gate.changes.envelope import seal
from gate.changes.keys import KeyStore
from gate.changes.snapshot import MANIFEST_HEADER, MANIFEST_TYPE, MEDIA_TYPE, Manifest
from gate.net.bind import listen
from gate.registry.bulk.importing import import_file
from gate.registry.commands import Role
from gate.registry.opening import open_registry
from gate.registry.places import Places
from gate.registry.registry import LOCAL
from gate.registry.server import make_service, serve
from gate.registry.service import RegistryService
from gate.settings import Address, RegistrySettings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LINES = 100_000


def fill(folder: Path, settings: RegistrySettings, filings: int, first: int = 0) -> str:
    """Import so many filings into the registry in `folder`; gives a reader token."""
    places = Places.of(settings, folder)
    registry = open_registry(places, settings)
    try:
        path = folder / "filings.csv"
        with path.open("w") as file:
            file.write("domain,licence,subject\n")
            for number in range(first, first + filings):
                subject = 10_000_000 + number
                file.write(
                    f"site{number}.example{number % 97}.cn,京ICP备{subject}号-1,公司{number}\n"
                )
        for state in import_file(registry, path, actor=LOCAL):
            last = state
        if last.accepted != filings:
            raise RuntimeError(f"the import took {last.accepted} of {filings}")
        return registry.tokens.create(name="gate", role=Role.READER, actor=LOCAL)[1]
    finally:
        registry.database.close()


@contextlib.asynccontextmanager
async def service(
    folder: Path, settings: RegistrySettings
) -> AsyncIterator[tuple[RegistryService, str]]:
    """The registry's service on a free port of this process; gives it and its URL."""
    made = make_service(Places.of(settings, folder), settings)
    stop = asyncio.Event()
    with listen(Address(host="127.0.0.1", port=0), "registry.listen") as listener:
        task = asyncio.create_task(serve(made, listener, stop=stop))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz"):
                pass  # it accepts when it has started
            yield made, url
        finally:
            stop.set()
            await task


def write_snapshot(path: Path, filings: int) -> Manifest:
    """A snapshot file of so many filings, sorted, as a registry makes it."""
    digest = hashlib.sha256()
    squeeze = zstd.ZstdCompressor(level=1)
    width = len(str(filings))
    with path.open("wb") as file:
        for first in range(0, filings, _LINES):
            lines = "".join(
                f"site-{number:0{width}d}.cn\tfiled\t京ICP备{_serial(number)}号-1\n"
                for number in range(first, min(first + _LINES, filings))
            ).encode()
            digest.update(lines)
            file.write(squeeze.compress(lines))
        file.write(squeeze.flush())
    return Manifest("00000000000001-aa", filings, filings, digest.hexdigest(), int(time.time()))


def _serial(number: int) -> int:
    return 10_000_000 + number * 7919 % 89_999_999


@contextlib.contextmanager
def snapshot_server(path: Path, manifest: Manifest, keys: KeyStore) -> Iterator[str]:
    """A server that has this snapshot and no changes, in a thread; gives its URL."""
    sealed = base64.b64encode(seal(manifest.encode(), MANIFEST_TYPE, keys.signers())).decode()

    async def snapshot(request: web.Request) -> web.FileResponse:
        headers = {"Content-Type": MEDIA_TYPE, MANIFEST_HEADER: sealed}
        return web.FileResponse(path, headers=headers)

    over = asyncio.Event()

    async def changes(request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    async def end(app: web.Application) -> None:
        over.set()

    loop = asyncio.new_event_loop()
    app = web.Application()
    app.on_shutdown.append(end)
    app.router.add_get("/v1/snapshot", snapshot)
    app.router.add_get("/v1/changes", changes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    with listen(Address(host="127.0.0.1", port=0), "registry.listen") as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        loop.run_until_complete(runner.setup())
        loop.run_until_complete(web.SockSite(runner, listener).start())
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield url
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
