"""The admin application's API: every endpoint, and how refusals are answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from typing import Final

from aiohttp import web

from gate.control.api import blocked, checking, overriding, running, showing, status
from gate.control.api.endpoint import Endpoint
from gate.control.api.openapi import document
from gate.control.api.operator import Operator
from gate.control.api.problems import Refusal, from_http

log = logging.getLogger("gate.admin")

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *status.ENDPOINTS,
    *checking.ENDPOINTS,
    *overriding.ENDPOINTS,
    *blocked.ENDPOINTS,
    *running.ENDPOINTS,
    *showing.ENDPOINTS,
)

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Server": "gate",
    "X-Content-Type-Options": "nosniff",
}

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(app: web.Application, operator: Operator) -> None:
    """Add every endpoint, and the document that describes them."""
    for endpoint in ENDPOINTS:
        app.router.add_route(endpoint.method, endpoint.path, _bound(endpoint, operator))
    app.router.add_get("/v1/openapi.json", _openapi)


@cache
def _document() -> str:
    """Made for whoever asks first: it takes its time, and hardly anybody does."""
    return json.dumps(document(ENDPOINTS))


async def _openapi(request: web.Request) -> web.Response:
    return web.Response(text=_document(), content_type="application/json")


def _bound(endpoint: Endpoint, operator: Operator) -> Handle:
    async def handle(request: web.Request) -> web.Response:
        return await endpoint.handle(request, operator)

    return handle


@web.middleware
async def answer(request: web.Request, handler: Handle) -> web.StreamResponse:
    """Turn whatever goes wrong into a problem, and send the same headers with everything."""
    try:
        response = await handler(request)
    except Refusal as refusal:
        response = refusal.response()
    except web.HTTPException as error:
        response = from_http(error, request).response()
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    except Exception:
        log.exception("%s %s failed", request.method, request.rel_url.raw_path)
        response = Refusal(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal",
            "a fault of the gate's own; its log has the traceback",
        ).response()
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
