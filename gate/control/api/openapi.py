"""The OpenAPI document: made from the endpoints and the models that check the requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gate import __version__
from gate.control.api.endpoint import Endpoint, NoQuery
from gate.control.api.problems import MEDIA_TYPE, Problem

Schema = dict[str, Any]

_ABOUT: Final = (
    "The admin port of one gate. Changes need the admin token or a client certificate, reads "
    "need neither from loopback (see the settings below `admin`). A refusal is "
    "application/problem+json, and nothing was changed unless it says so."
)


def document(endpoints: Iterable[Endpoint]) -> Schema:
    """The OpenAPI 3.1 document of these endpoints."""
    listed = list(endpoints)
    models: dict[type[BaseModel], None] = {Problem: None}
    for item in listed:
        models.update(dict.fromkeys(_models(item)))
    schemas = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )[1]["$defs"]
    paths: Schema = {}
    for item in listed:
        paths.setdefault(item.path, {})[item.method.lower()] = _operation(item, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "gate admin API", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _models(endpoint: Endpoint) -> Iterator[type[BaseModel]]:
    for model in (endpoint.query, endpoint.body, endpoint.answer):
        if model is not None and model is not NoQuery:
            yield model


def _operation(endpoint: Endpoint, schemas: Schema) -> Schema:
    content = {"schema": _reference(endpoint.answer)} if endpoint.answer else {}
    operation: Schema = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "security": [{"token": []}] if endpoint.writes else [{}, {"token": []}],
        "parameters": list(_parameters(endpoint, schemas)),
        "responses": {
            str(int(endpoint.status)): {
                "description": endpoint.summary,
                "content": {endpoint.media: content},
            },
            "default": {
                "description": "Refused",
                "content": {MEDIA_TYPE: {"schema": _reference(Problem)}},
            },
        },
    }
    if endpoint.body is not None:
        body = {"application/json": {"schema": _reference(endpoint.body)}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _parameters(endpoint: Endpoint, schemas: Schema) -> Iterator[Schema]:
    for name in re.findall(r"{(\w+)}", endpoint.path):
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if endpoint.query is NoQuery:
        return
    model = schemas[endpoint.query.__name__]
    for name, schema in model["properties"].items():
        shown = {key: value for key, value in schema.items() if key not in ("title", "description")}
        yield {
            "name": name,
            "in": "query",
            "required": name in model.get("required", ()),
            "description": schema.get("description", ""),
            "schema": shown,
        }


def _reference(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
