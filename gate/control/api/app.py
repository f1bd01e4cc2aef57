"""The admin application's API: every endpoint, and how refusals are answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from typing import Final

from aiohttp import web

from gate.control.api import (
    blocked,
    checking,
    overriding,
    routing,
    running,
    showing,
    status,
    syncing,
)
from gate.control.api.endpoint import AdminEndpoint, api_of
from gate.control.api.openapi import document
from gate.control.api.problems import Refusal, from_http
from gate.control.api.service import AdminService
from gate.net.problems import HEADERS

_log = logging.getLogger(__name__)

ENDPOINTS: Final[tuple[AdminEndpoint, ...]] = (
    *status.ENDPOINTS,
    *checking.ENDPOINTS,
    *overriding.ENDPOINTS,
    *routing.ENDPOINTS,
    *blocked.ENDPOINTS,
    *running.ENDPOINTS,
    *syncing.ENDPOINTS,
    *showing.ENDPOINTS,
)

_HEADERS: Final = HEADERS | {"Server": "gate"}

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(app: web.Application, service: AdminService) -> None:
    """Add every endpoint, and the document that describes them."""
    api_of(service).add_routes(app, ENDPOINTS)
    app.router.add_get("/v1/openapi.json", _openapi)


@cache
def _document() -> str:
    """Return the OpenAPI document, made for whoever asks first: that takes its time."""
    return json.dumps(document(ENDPOINTS))


async def _openapi(request: web.Request) -> web.Response:
    return web.Response(text=_document(), content_type="application/json")


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
        _log.exception("%s %s failed", request.method, request.rel_url.raw_path)
        response = Refusal(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal",
            "a fault of the gate's own; its log has the traceback",
        ).response()
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
