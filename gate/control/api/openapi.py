"""The OpenAPI document of the admin API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gate import __version__, openapi
from gate.control.api.endpoint import Endpoint, NoQuery
from gate.control.api.problems import MEDIA_TYPE, Problem
from gate.openapi import Operation, Refusals, Schema

_ABOUT: Final = (
    "The admin port of one gate. Changes need the admin token or a client certificate, reads "
    "need neither from loopback (see the settings below `admin`). A refusal is "
    "application/problem+json, and nothing was changed unless it says so."
)


def document(endpoints: Iterable[Endpoint]) -> Schema:
    """The OpenAPI 3.1 document of these endpoints."""
    return openapi.document(
        {"title": "gate admin API", "version": __version__, "description": _ABOUT},
        map(_operation, endpoints),
        Refusals("Refused", MEDIA_TYPE, Problem),
    )


def _operation(endpoint: Endpoint) -> Operation:
    return Operation(
        endpoint.method,
        endpoint.path,
        endpoint.name,
        endpoint.summary,
        endpoint.status,
        security=({"token": []},) if endpoint.writes else ({}, {"token": []}),
        query=None if endpoint.query is NoQuery else endpoint.query,
        body=endpoint.body,
        answer=endpoint.answer,
        media=(endpoint.media,),
    )
