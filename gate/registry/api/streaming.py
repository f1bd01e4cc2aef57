"""Long answers, made piece by piece: so many at a time, and only to clients that read.

Each holds a connection to the database, and the state that it shows, for as long as its client
takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import aclosing
from typing import Final

from aiohttp import web

from gate.registry.api.endpoint import RegistryCall
from gate.registry.errors import RegistryError

_log = logging.getLogger(__name__)

PIECE_SECONDS: Final = 60.0
"""How long a client may take no byte of an answer."""


async def stream(
    call: RegistryCall, pieces: Generator[bytes], *, name: str, media: str
) -> web.StreamResponse:
    """Send a file called `name` as it is made.

    Raises RegistryError `export_busy`, and what making the first piece raises; what comes later
    cuts the answer off, so that nobody takes it for the whole.
    """
    if call.service.exports.locked():
        raise RegistryError("export_busy")
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
    response.content_type = media
    response.charset = "utf-8"
    response.enable_compression()
    async with call.service.exports:
        try:
            await _send(call, pieces, response)
        except (RegistryError, TimeoutError) as error:
            if not response.prepared:
                raise
            _log.warning("%s is cut off: %s", name, error or "its client does not read")
            if call.request.transport is not None:
                call.request.transport.abort()
    return response


async def _send(call: RegistryCall, pieces: Generator[bytes], response: web.StreamResponse) -> None:
    async with aclosing(call.service.in_pieces(pieces)) as made:
        async for piece in made:
            if not response.prepared:
                # Only with the first piece, so that trouble before it can still be told.
                await response.prepare(call.request)
            async with asyncio.timeout(PIECE_SECONDS):
                await response.write(piece)
    await response.write_eof()
