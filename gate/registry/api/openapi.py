"""The OpenAPI document: made from the endpoints and the models that check the requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gate import __version__
from gate.registry.api.endpoint import Endpoint, NoQuery
from gate.registry.api.problems import MEDIA_TYPE, Problem, catalogue

_PARAMETER: Final = re.compile(r"\{(\w+)(?::([^{}]*(?:\{[^{}]*\}[^{}]*)*))?\}")
_INFO: Final = """\
登记系统：备案主体、服务、域名、接入与备案号；每项操作是一个事务，并写入签名的变更日志。

The filing registry: subjects, services, domains, access filings and licence numbers. Each
operation is one transaction, which writes its batch to the signed change log. Roles: `reader`
reads and follows the log, `registrar` files, changes and cancels, `admin` also approves, suspends
and keeps tokens. Errors are `application/problem+json` with a code, a Chinese and an English text:

| code | status | zh | en |
| --- | --- | --- | --- |
"""


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these endpoints."""
    listed = list(endpoints)
    schemas = models_json_schema(
        [(model, "validation") for model in _models(listed)],
        ref_template="#/components/schemas/{model}",
    )[1]["$defs"]
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    codes = "".join(
        f"| `{row['code']}` | {row['status']} | {row['zh']} | {row['en']} |\n"
        for row in catalogue()
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "备案登记系统 / filing registry",
            "version": __version__,
            "description": _INFO + codes,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, schemas)]
        + [
            {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
            for name, text in endpoint.headers.items()
        ],
        "responses": {
            str(endpoint.status): _answer(endpoint),
            "default": {
                "description": "拒绝，未做更改 / refused, nothing changed",
                "content": {MEDIA_TYPE: {"schema": _reference(Problem)}},
            },
        },
        "security": [] if endpoint.role is None else [{"token": []}],
    }
    if endpoint.role is not None:
        operation["description"] = f"需要权限 / needs the role `{endpoint.role}`."
    if endpoint.body is not None:
        operation["description"] += f"\n\n{endpoint.body.__doc__}"
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(endpoint.body)}},
        }
    if endpoint.upload:
        binary = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {
            "required": True,
            "content": dict.fromkeys(endpoint.upload, binary),
        }
    return operation


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.answer is not None:
        content: dict[str, Any] = {media: {} for media in endpoint.media}
        content["application/json"] = {"schema": _reference(endpoint.answer)}
        return {"description": endpoint.summary, "content": content}
    if endpoint.status == 204:
        return {"description": endpoint.summary}
    return {"description": endpoint.summary, "content": {media: {} for media in endpoint.media}}


def _path_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name, pattern in _PARAMETER.findall(endpoint.path):
        schema: dict[str, Any] = {"type": "string", "minLength": 1}
        if pattern:
            schema["pattern"] = f"^{pattern}$"
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(endpoint: Endpoint, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if endpoint.query is NoQuery:
        return
    model = schemas[endpoint.query.__name__]
    for name, schema in model["properties"].items():
        shown = {key: value for key, value in schema.items() if key not in {"title", "default"}}
        variants = [item for item in shown.pop("anyOf", []) if item.get("type") != "null"]
        if len(variants) == 1:
            shown |= variants[0]
        description = shown.pop("description", "")
        yield {
            "name": name,
            "in": "query",
            "required": name in model.get("required", []),
            "description": description,
            "schema": shown,
        }


def _models(endpoints: Iterable[Endpoint]) -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {Problem: None}
    for endpoint in endpoints:
        for model in (endpoint.body, endpoint.answer, endpoint.query):
            if model is not None and model is not NoQuery:
                found[model] = None
    return list(found)


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
