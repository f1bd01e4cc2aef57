"""Refusals as `application/problem+json` (RFC 9457), in Chinese and English."""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web

from gate.registry.commands import Model
from gate.registry.errors import CATALOGUE, RegistryError

REQUEST_ID: Final = web.RequestKey("request_id", str)

MEDIA_TYPE: Final = "application/problem+json"


class Problem(Model):
    """Why a request was refused. Nothing was changed."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    zh: str
    en: str
    field: str
    request: str


def problem(error: RegistryError, request: web.Request) -> web.Response:
    """The answer that tells of a refusal, in the language that the client prefers."""
    number = request.get(REQUEST_ID, "")
    chinese = request.headers.get("Accept-Language", "").lower().startswith("zh")
    body = Problem(
        type=f"urn:filing-gate:problem:{error.code}",
        title=error.status.phrase,
        status=error.status,
        detail=error.zh if chinese else error.en,
        code=error.code,
        zh=error.zh,
        en=error.en,
        field=error.field,
        request=number,
    )
    headers = {"Content-Language": "zh" if chinese else "en"}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="gate registry"'
    if error.status == 503:
        headers["Retry-After"] = "1"
    return web.Response(
        text=json.dumps(body.model_dump(), ensure_ascii=False),
        status=error.status,
        content_type=MEDIA_TYPE,
        headers=headers,
    )


def catalogue() -> list[dict[str, Any]]:
    """Every code with its status and wording, for the documentation."""
    return [
        {"code": code, "status": int(wording.status), "zh": wording.zh, "en": wording.en}
        for code, wording in CATALOGUE.items()
    ]
