"""The aiohttp application: routes, middleware, and what lives as long as it does."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from gate.net.endpoint import ENDPOINT
from gate.net.problems import HEADERS
from gate.registry import log
from gate.registry.api import (
    administration,
    bulk,
    changes,
    gates,
    operations,
    orders,
    records,
    reports,
    sightings,
    snapshots,
)
from gate.registry.api.endpoint import ACTOR, RegistryEndpoint, api_of
from gate.registry.api.metrics import Metrics
from gate.registry.api.openapi import document
from gate.registry.api.problems import REQUEST_ID, problem
from gate.registry.commands import Role
from gate.registry.console.app import PREFIX, make_console
from gate.registry.errors import RegistryError
from gate.registry.service import RegistryService

_log = logging.getLogger(__name__)

ENDPOINTS: Final[tuple[RegistryEndpoint, ...]] = (
    *operations.ENDPOINTS,
    *orders.ENDPOINTS,
    *records.ENDPOINTS,
    *changes.ENDPOINTS,
    *gates.ENDPOINTS,
    *snapshots.ENDPOINTS,
    *bulk.ENDPOINTS,
    *reports.ENDPOINTS,
    *sightings.ENDPOINTS,
    *administration.ENDPOINTS,
)

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(service: RegistryService) -> web.Application:
    """Return the API on a service, which the application starts and closes."""
    metrics = Metrics(service)
    app = web.Application(
        middlewares=[_middleware(metrics)], client_max_size=service.settings.body_bytes
    )
    api_of(service).add_routes(app, ENDPOINTS)

    async def healthy(request: web.Request) -> web.Response:
        at = await service.read(log.head)
        return web.json_response({"status": "ok", "epoch": at.epoch, "revision": at.revision})

    async def scrape(request: web.Request) -> web.Response:
        await service.authenticate(request.headers.get("Authorization"), Role.READER)
        return metrics.exposed()

    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.close()

    app.router.add_get("/v1/openapi.json", _openapi)
    app.router.add_get("/healthz", healthy)
    app.router.add_get("/metrics", scrape)
    app.cleanup_ctx.append(lifetime)
    secure = service.settings.tls is not None
    app.add_subapp(PREFIX, make_console(service, secure=secure))
    return app


@cache
def _document() -> str:
    """Return the OpenAPI document, made for whoever asks first: that takes its time."""
    return json.dumps(document(ENDPOINTS), ensure_ascii=False)


async def _openapi(request: web.Request) -> web.Response:
    return web.Response(text=_document(), content_type="application/json")


def _middleware(metrics: Metrics) -> Middleware:
    @web.middleware
    async def answer(request: web.Request, handler: Handle) -> web.StreamResponse:
        """Number the request, turn errors into problems, count it, and log it."""
        path = request.rel_url.raw_path  # percent-encoded: safe to log
        request[REQUEST_ID] = secrets.token_hex(8)
        began = time.monotonic()
        try:
            response = await handler(request)
        except RegistryError as error:
            response = _refuse(metrics, request, error)
        except web.HTTPMethodNotAllowed as error:
            refusal = RegistryError("method_refused", method=request.method[:20])
            response = _refuse(metrics, request, refusal)
            response.headers["Allow"] = error.headers["Allow"]
        except web.HTTPNotFound:
            response = _refuse(metrics, request, RegistryError("path_unknown"))
        except web.HTTPException:
            raise
        except Exception:
            number = request[REQUEST_ID]
            _log.exception("request %s failed: %s %s", number, request.method, path)
            response = _refuse(metrics, request, RegistryError("internal", request=number))
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            response.headers["X-Request-Id"] = request[REQUEST_ID]
        metrics.requests.labels(request.get(ENDPOINT, "other"), response.status).inc()
        _log.debug(
            "%s %s %d %s %.1f ms",
            request.method,
            path,
            response.status,
            request.get(ACTOR, "-"),
            (time.monotonic() - began) * 1000,
        )
        return response

    return answer


def _refuse(metrics: Metrics, request: web.Request, error: RegistryError) -> web.Response:
    metrics.refusals.labels(error.code).inc()
    if error.status in (401, 403):
        _log.warning("refused %s %s: %s", request.method, request.rel_url.raw_path, error)
    return problem(error, request)
