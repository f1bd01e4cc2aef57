"""OpenAPI 3.1 documents: made from the models that check the requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

Schema = dict[str, Any]

_PARAMETER: Final = re.compile(r"\{(\w+)(?::([^{}]*(?:\{[^{}]*\}[^{}]*)*))?\}")

_WORD: Final = re.compile(r"[a-z-]+").fullmatch


@dataclass(slots=True, frozen=True)
class Operation:
    """What one route takes and answers. `path` is as aiohttp wants it, with its patterns.

    `media` are the types of an answer; that of `answer`, if there is one, is JSON. `upload` are
    the types of a body that is a file.
    """

    method: str
    path: str
    name: str
    summary: str
    status: int
    security: tuple[Mapping[str, list[str]], ...]
    description: str = ""
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    media: tuple[str, ...] = ("application/json",)
    upload: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class RefusalFormat:
    """How every operation refuses: as `media`, with `model`."""

    description: str
    media: str
    model: type[BaseModel]


def document(info: Schema, operations: Iterable[Operation], refusals: RefusalFormat) -> Schema:
    """Return the document of these operations; whoever asks shows a bearer token."""
    listed = list(operations)
    models = {refusals.model: None} | dict.fromkeys(_models(listed))
    schemas = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )[1]["$defs"]
    paths: Schema = {}
    for item in listed:
        path = _PARAMETER.sub(_place, item.path)
        paths.setdefault(path, {})[item.method.lower()] = _operation(item, schemas, refusals)
    return {
        "openapi": "3.1.0",
        "info": info,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _models(operations: Iterable[Operation]) -> Iterator[type[BaseModel]]:
    for item in operations:
        for model in (item.body, item.answer, item.query):
            if model is not None:
                yield model


def _operation(item: Operation, schemas: Schema, refusals: RefusalFormat) -> Schema:
    refused = {"schema": _reference(refusals.model)}
    shown: Schema = {
        "operationId": item.name,
        "summary": item.summary,
        "parameters": [
            *_path_parameters(item.path),
            *_query_parameters(item.query, schemas),
            *_headers(item.headers),
        ],
        "responses": {
            str(int(item.status)): _answer(item),
            "default": {
                "description": refusals.description,
                "content": {refusals.media: refused},
            },
        },
        "security": list(item.security),
    }
    if item.description:
        shown["description"] = item.description
    if item.body is not None:
        json_body = {"application/json": {"schema": _reference(item.body)}}
        shown["requestBody"] = {"required": True, "content": json_body}
    elif item.upload:
        binary = {"schema": {"type": "string", "format": "binary"}}
        shown["requestBody"] = {"required": True, "content": dict.fromkeys(item.upload, binary)}
    return shown


def _answer(item: Operation) -> Schema:
    if item.status == 204:
        return {"description": item.summary}
    content: Schema = {media: {} for media in item.media}
    if item.answer is not None:
        content["application/json"] = {"schema": _reference(item.answer)}
    return {"description": item.summary, "content": content}


def _place(match: re.Match[str]) -> str:
    """Return a parameter as a document has it; one that can be one word only is that word."""
    return match[2] if _WORD(match[2] or "") else f"{{{match[1]}}}"


def _path_parameters(path: str) -> Iterator[Schema]:
    for name, pattern in _PARAMETER.findall(path):
        if _WORD(pattern):
            continue
        schema: Schema = {"type": "string", "minLength": 1}
        if pattern:
            schema["pattern"] = f"^{pattern}$"
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(query: type[BaseModel] | None, schemas: Schema) -> Iterator[Schema]:
    if query is None:
        return
    model = schemas[query.__name__]
    for name, schema in model["properties"].items():
        shown = {key: value for key, value in schema.items() if key != "title"}
        if shown.get("default", ...) is None:
            del shown["default"]  # it says no more than that the parameter may be left out
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


def _headers(headers: Mapping[str, str]) -> Iterator[Schema]:
    for name, text in headers.items():
        yield {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
