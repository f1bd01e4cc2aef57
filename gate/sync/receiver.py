"""The gate's push port: signed batches from the registry, answered once they are in force."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web

from gate.sync.batch import MAX_ENVELOPE
from gate.sync.errors import Cause, SyncError

PATH: Final = "/v1/push"
_BODY_SECONDS: Final = 30.0

STATUS: Final = {
    Cause.GAP: HTTPStatus.CONFLICT,
    Cause.NEW_EPOCH: HTTPStatus.CONFLICT,
    Cause.BAD_SIGNATURE: HTTPStatus.FORBIDDEN,
    Cause.UNKNOWN_KEY: HTTPStatus.FORBIDDEN,
    Cause.OLD_EPOCH: HTTPStatus.FORBIDDEN,
    Cause.MALFORMED: HTTPStatus.BAD_REQUEST,
    Cause.OVERSIZE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


def push_app(
    take: Callable[[Awaitable[bytes]], Awaitable[int]], have: Callable[[], int | None]
) -> web.Application:
    """The push port's application.

    `take` has an envelope, once it has arrived, applied and enforced, and gives the revision in
    force or raises SyncError; `have` gives the revision of the replica, None if there is none.
    """

    async def push(request: web.Request) -> web.Response:
        """200 with the revision that is in force in every worker; 409 with what this gate has."""
        try:
            revision = await take(_body(request))
        except SyncError as error:
            status = STATUS.get(error.cause, HTTPStatus.SERVICE_UNAVAILABLE)
            answer = {"cause": error.cause.value, "message": str(error)}
            if status is HTTPStatus.CONFLICT:
                gap = error.cause is Cause.GAP
                return web.json_response(answer | {"have": have() if gap else None}, status=status)
            return web.json_response(answer, status=status)
        return web.json_response({"revision": revision})

    # The limit is on the envelope; `_body` says so in the sync's own words.
    app = web.Application(client_max_size=2 * MAX_ENVELOPE)
    app.router.add_post(PATH, push)
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


def bind(host: str, port: int) -> socket.socket:
    """The listening socket of the push port. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)
