"""Refusals as `application/problem+json` (RFC 9457), in Chinese and English."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from gate.net.problems import ProblemDetails, answer, type_of
from gate.registry.errors import RegistryError
from gate.registry.orders.rule_texts import Finding
from gate.registry.wordings import CATALOGUE

REQUEST_ID: Final = web.RequestKey("request_id", str)


class RegistryProblem(ProblemDetails):
    """Why a request was refused, in both languages. Nothing was changed."""

    code: str
    zh: str
    en: str
    request: str
    faults: tuple[Finding, ...] = ()
    """Every rule of orders that is not met."""


def problem(error: RegistryError, request: web.Request) -> web.Response:
    """Return the answer that tells of a refusal, in the language that the client prefers."""
    number = request.get(REQUEST_ID, "")
    chinese = request.headers.get("Accept-Language", "").lower().startswith("zh")
    told = RegistryProblem(
        type=type_of(error.code),
        title=error.status.phrase,
        status=error.status,
        detail=error.zh if chinese else error.en,
        code=error.code,
        zh=error.zh,
        en=error.en,
        field=error.field,
        request=number,
        faults=tuple(fault for fault in error.faults if isinstance(fault, Finding)),
    )
    headers = {"Content-Language": "zh" if chinese else "en"}
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    return answer(told, realm="gate registry", headers=headers)


def catalogue() -> list[dict[str, Any]]:
    """Return every code with its status and wording, for the documentation."""
    return [
        {"code": code, "status": int(wording.status), "zh": wording.zh, "en": wording.en}
        for code, wording in CATALOGUE.items()
    ]
