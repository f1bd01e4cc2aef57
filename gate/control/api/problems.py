"""Refusals as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from gate.control.api.model import Model

MEDIA_TYPE: Final = "application/problem+json"


class Problem(Model):
    """Why a request was refused."""

    type: str
    title: str
    status: int
    detail: str
    field: str
    """The part of the request that is at fault, or ""."""


class Refusal(Exception):
    """A request is refused; `detail` says what was wrong and what to do."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, *, field: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field

    def response(self) -> web.Response:
        """The answer that tells of it."""
        problem = Problem(
            type=f"urn:filing-gate:problem:{self.code}",
            title=self.status.phrase,
            status=self.status,
            detail=self.detail,
            field=self.field,
        )
        headers = {}
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Bearer realm="gate admin"'
        return web.Response(
            text=problem.model_dump_json(),
            status=self.status,
            content_type=MEDIA_TYPE,
            headers=headers,
        )


def invalid(error: ValidationError) -> Refusal:
    """The refusal for the first thing that is wrong with a query or body."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    detail = first["msg"].removeprefix("Value error, ")
    return Refusal(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "field_invalid",
        f"{field}: {detail}" if field else detail,
        field=field,
    )


def from_http(error: web.HTTPException, request: web.Request) -> Refusal:
    """The refusal for what aiohttp itself turns away."""
    status = HTTPStatus(error.status)
    match status:
        case HTTPStatus.NOT_FOUND:
            return Refusal(
                status, "path_unknown", f"nothing is at {request.path}; see /v1/openapi.json"
            )
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = error.headers.get("Allow", "")
            return Refusal(status, "method_refused", f"{request.path} takes {allowed}")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Refusal(status, "body_too_large", "the body is larger than this port takes")
        case _:
            return Refusal(status, "refused", error.reason)
