"""The gate's push port: signed batches from the registry, answered once they are in force."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gate.changes.batch import MAX_ENVELOPE
from gate.changes.errors import Cause, SyncError
from gate.changes.position import NAME_HEADER
from gate.changes.push import PUSH_PATH, refusal

_BODY_SECONDS: Final = 30.0


def push_app(
    take: Callable[[Awaitable[bytes]], Awaitable[int]],
    have: Callable[[], int | None],
    *,
    name: str,
) -> web.Application:
    """Return the push port's application.

    `take` has an envelope, once it has arrived, applied and enforced, and gives the revision in
    force or raises SyncError; `have` gives the revision of the replica, None if there is none. Each
    answer says this gate's `name`.
    """

    named = {NAME_HEADER: name}

    async def push(request: web.Request) -> web.Response:
        """200 with the revision that is in force in every worker; 409 with what this gate has."""
        try:
            revision = await take(_body(request))
        except SyncError as error:
            status, answer = refusal(error, have())
            return web.json_response(answer, status=status, headers=named)
        return web.json_response({"revision": revision}, headers=named)

    # The limit is on the envelope; `_body` says so in the sync's own words.
    app = web.Application(client_max_size=2 * MAX_ENVELOPE)
    app.router.add_post(PUSH_PATH, push)
    return app


async def _body(request: web.Request) -> bytes:
    length = request.content_length
    if length is not None and length > MAX_ENVELOPE:
        raise _oversize(length)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MAX_ENVELOPE:
                    raise _oversize(len(body))
    except TimeoutError as error:
        raise SyncError(Cause.TRUNCATED, "the push did not arrive in time") from error
    except (OSError, web.RequestPayloadError) as error:
        raise SyncError(Cause.TRUNCATED, f"the push broke off: {error}") from error
    return bytes(body)


def _oversize(length: int) -> SyncError:
    return SyncError(
        Cause.OVERSIZE, f"the push has {length} bytes or more; {MAX_ENVELOPE} is the limit"
    )
