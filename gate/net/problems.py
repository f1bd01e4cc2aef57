"""Refusals as `application/problem+json` (RFC 9457), and the headers of every answer of an API."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from gate.net.model import Model

MEDIA_TYPE: Final = "application/problem+json"

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer of an API says to browsers and caches."""


class ProblemDetails(Model):
    """Why a request was refused. Nothing was changed, unless it says so."""

    type: str
    title: str
    status: int
    detail: str
    field: str
    """The part of the request that is at fault, or ""."""


def type_of(code: str) -> str:
    """Return the URI that names the problem `code`."""
    return f"urn:filing-gate:problem:{code}"


def answer(
    problem: ProblemDetails, *, realm: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return the answer that tells of a problem; one without a token learns that it needs one."""
    told = dict(headers or {})
    if problem.status == HTTPStatus.UNAUTHORIZED:
        told["WWW-Authenticate"] = f'Bearer realm="{realm}"'
    return web.Response(
        text=problem.model_dump_json(),
        status=problem.status,
        content_type=MEDIA_TYPE,
        headers=told,
    )
