"""The OpenAPI document of the admin API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gate import __version__
from gate.control.api.access import Access
from gate.control.api.endpoint import AdminEndpoint
from gate.net import openapi
from gate.net.openapi import RefusalFormat, Schema
from gate.net.problems import MEDIA_TYPE, ProblemDetails

_ABOUT: Final = (
    "The admin port of one gate. Changes need the admin token or a client certificate, reads "
    "need neither from loopback (see the settings below `admin`). A refusal is "
    "application/problem+json, and nothing was changed unless it says so."
)
_TOKEN: Final[dict[str, list[str]]] = {"token": []}
_SECURITY: Final = {Access.READ: ({}, _TOKEN), Access.WRITE: (_TOKEN,)}


def document(endpoints: Iterable[AdminEndpoint]) -> Schema:
    """Return the OpenAPI 3.1 document of these endpoints."""
    return openapi.document(
        {"title": "gate admin API", "version": __version__, "description": _ABOUT},
        (endpoint.operation(security=_SECURITY[endpoint.access]) for endpoint in endpoints),
        RefusalFormat("Refused", MEDIA_TYPE, ProblemDetails),
    )
