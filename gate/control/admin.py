"""The admin port: /healthz, /readyz and /metrics."""

from __future__ import annotations

from aiohttp import web

from gate.control.figures import Figures
from gate.control.fleet import Fleet
from gate.control.health import Health


def admin_app(health: Health, figures: Figures, fleet: Fleet) -> web.Application:
    """The admin application."""

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
        await figures.collect_from(fleet)
        body, content_type = figures.expose(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
