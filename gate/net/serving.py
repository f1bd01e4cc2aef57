"""Runs an aiohttp application whose connections this program accepts by itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web


@contextlib.asynccontextmanager
async def running(app: web.Application, *, stop_seconds: float) -> AsyncIterator[web.Server]:
    """Give what makes a protocol for each connection of `app`.

    At the end, requests in hand have `stop_seconds` to end.
    """
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=stop_seconds
    )
    await runner.setup()
    try:
        if runner.server is None:
            raise RuntimeError("the runner has no server after its setup")
        yield runner.server
    finally:
        await runner.cleanup()
