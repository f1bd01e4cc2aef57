"""The registry's OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gate import __version__
from gate.net import openapi
from gate.net.openapi import Operation, RefusalFormat, Schema
from gate.net.problems import MEDIA_TYPE
from gate.registry.api.endpoint import RegistryEndpoint
from gate.registry.api.problems import RegistryProblem, catalogue

_INFO: Final = """\
登记系统：备案主体、服务、域名、接入与备案号；每项操作是一个事务，并写入签名的变更日志。

The filing registry: subjects, services, domains, access filings and licence numbers. Each
operation is one transaction, which writes its batch to the signed change log. Roles: `reader`
reads and follows the log, `registrar` files, changes and cancels, `admin` also approves, suspends
and keeps tokens. Errors are `application/problem+json` with a code, a Chinese and an English text:

| code | status | zh | en |
| --- | --- | --- | --- |
"""


def document(endpoints: Iterable[RegistryEndpoint]) -> Schema:
    """Return the OpenAPI 3.1 document of these endpoints."""
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
        info, map(_operation, endpoints), RefusalFormat(refused, MEDIA_TYPE, RegistryProblem)
    )


def _operation(endpoint: RegistryEndpoint) -> Operation:
    about = [f"需要权限 / needs the role `{endpoint.access}`."]
    if endpoint.body is not None and endpoint.body.__doc__:
        about.append(endpoint.body.__doc__)
    return endpoint.operation(security=({"token": []},), description="\n\n".join(about))
