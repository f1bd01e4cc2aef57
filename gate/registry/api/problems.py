"""Refusals as `application/problem+json` (RFC 9457), in Chinese and English."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from gate.registry.commands import Model
from gate.registry.errors import CATALOGUE, RegistryError, Said

REQUEST_ID: Final = web.RequestKey("request_id", str)

MEDIA_TYPE: Final = "application/problem+json"

# Pydantic's error types in Chinese; the English text is its own.
_CHINESE: Final[Mapping[str, str]] = {
    "missing": "必填",
    "extra_forbidden": "未知字段",
    "json_invalid": "不是有效的 JSON",
    "string_type": "应为文本",
    "string_too_short": "内容过短",
    "string_too_long": "内容过长",
    "string_unicode": "不是有效的 Unicode 文本",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_from_float": "应为整数",
    "float_parsing": "应为数字",
    "enum": "不是允许的取值",
    "literal_error": "不是允许的取值",
    "too_short": "数量过少",
    "too_long": "数量过多",
    "greater_than_equal": "数值过小",
    "less_than_equal": "数值过大",
    "either_one": "licence 与 domain 应填其一",
}


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


def invalid(error: ValidationError) -> RegistryError:
    """The first thing that is wrong with a request's shape."""
    first = error.errors(include_url=False, include_input=False)[0]
    kind = first["type"]
    if kind == "json_invalid":
        return RegistryError("body_invalid", detail=Said(_CHINESE[kind], first["msg"]))
    return RegistryError(
        "field_invalid",
        field=".".join(str(part) for part in first["loc"]) or "body",
        detail=Said(_CHINESE.get(kind, "取值无效"), first["msg"]),
    )


def catalogue() -> list[dict[str, Any]]:
    """Every code with its status and wording, for the documentation."""
    return [
        {"code": code, "status": int(wording.status), "zh": wording.zh, "en": wording.en}
        for code, wording in CATALOGUE.items()
    ]
