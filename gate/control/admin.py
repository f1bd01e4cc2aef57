"""The admin port: /healthz, /readyz, /metrics, the API and the status page."""

from __future__ import annotations

from aiohttp import web

from gate.control.api.app import add_routes, answer
from gate.control.api.endpoint import BODY_BYTES
from gate.control.api.operator import Operator
from gate.control.page import show_page


def admin_app(operator: Operator) -> web.Application:
    """The admin application."""
    health, figures = operator.health, operator.figures

    async def healthz(request: web.Request) -> web.Response:
        """200 while the control process answers at all."""
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        """200 when the gate takes traffic, else 503 with the reasons."""
        reasons = health.check()
        status = 503 if reasons else 200
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=status)

    async def metrics(request: web.Request) -> web.Response:
        """All figures of all workers, in the format that the scraper asks for."""
        health.check()
        await figures.collect_from(operator.fleet)
        body, content_type = figures.expose(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application(middlewares=[answer], client_max_size=BODY_BYTES)
    app.router.add_get("/", show_page)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    add_routes(app, operator)
    return app
