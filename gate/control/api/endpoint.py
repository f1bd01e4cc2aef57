"""The admin API's endpoints: the kit of `gate.net.endpoint` with its own service and callers."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gate.control.api.access import Access, Caller
from gate.control.api.problems import refusal
from gate.control.api.service import AdminService
from gate.net import endpoint as kit

BODY_BYTES: Final = 16_384
_BODY_SECONDS: Final = 10.0

AdminApi = kit.Api[AdminService, Caller, Access]
AdminCall = kit.Call[AdminService, Caller]
AdminEndpoint = kit.Endpoint[AdminService, Caller, Access]


def api_of(service: AdminService) -> AdminApi:
    """Return the API of a running gate."""

    async def admit(request: web.Request, access: Access) -> Caller:
        return service.guard.admit(request, writes=access is Access.WRITE)

    return AdminApi(service, admit, refusal, _BODY_SECONDS)
