"""The registry's OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gate import __version__, openapi
from gate.openapi import Operation, Refusals, Schema
from gate.registry.api.endpoint import Endpoint, NoQuery
from gate.registry.api.problems import MEDIA_TYPE, Problem, catalogue

_INFO: Final = """\
登记系统：备案主体、服务、域名、接入与备案号；每项操作是一个事务，并写入签名的变更日志。

The filing registry: subjects, services, domains, access filings and licence numbers. Each
operation is one transaction, which writes its batch to the signed change log. Roles: `reader`
reads and follows the log, `registrar` files, changes and cancels, `admin` also approves, suspends
and keeps tokens. Errors are `application/problem+json` with a code, a Chinese and an English text:

| code | status | zh | en |
| --- | --- | --- | --- |
"""


def document(endpoints: Iterable[Endpoint]) -> Schema:
    """The OpenAPI 3.1 document of these endpoints."""
    codes = "".join(
        f"| `{row['code']}` | {row['status']} | {row['zh']} | {row['en']} |\n"
        for row in catalogue()
    )
    info = {
        "title": "备案登记系统 / filing registry",
        "version": __version__,
        "description": _INFO + codes,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }
    refused = "拒绝，未做更改 / refused, nothing changed"
    return openapi.document(
        info, map(_operation, endpoints), Refusals(refused, MEDIA_TYPE, Problem)
    )


def _operation(endpoint: Endpoint) -> Operation:
    about = [] if endpoint.role is None else [f"需要权限 / needs the role `{endpoint.role}`."]
    if endpoint.body is not None and endpoint.body.__doc__:
        about.append(endpoint.body.__doc__)
    return Operation(
        endpoint.method,
        endpoint.path,
        endpoint.name,
        endpoint.summary,
        endpoint.status,
        security=() if endpoint.role is None else ({"token": []},),
        description="\n\n".join(about),
        query=None if endpoint.query is NoQuery else endpoint.query,
        body=endpoint.body,
        answer=endpoint.answer,
        media=endpoint.media,
        upload=endpoint.upload,
        headers=endpoint.headers,
    )
