"""What an operator may want to look at: the settings in force, and who changed what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import Field

from gate.control.api.access import Access
from gate.control.api.endpoint import AdminCall, AdminEndpoint
from gate.net.model import Model
from gate.settings.mask import masked


class ConfigView(Model):
    """Every setting in force; secrets are masked."""

    settings: dict[str, Any]


class AuditQuery(Model):
    """How much of the audit log."""

    limit: int = Field(100, ge=1, le=1000)


class AuditEntryView(Model):
    """One change of the audit log."""

    time: str
    actor: str
    peer: str
    by: str
    action: str
    target: str
    detail: dict[str, Any]


class AuditList(Model):
    """The newest changes, oldest first."""

    items: tuple[AuditEntryView, ...]


async def show_config(call: AdminCall) -> ConfigView:
    """Return the settings in force."""
    return ConfigView(settings=masked(call.service.settings))


async def show_audit(call: AdminCall) -> AuditList:
    """Return the newest changes that operators made."""
    query: AuditQuery = call.query
    return AuditList(
        items=tuple(
            AuditEntryView(**asdict(entry)) for entry in call.service.audit.newest(query.limit)
        )
    )


ENDPOINTS = (
    AdminEndpoint(
        "GET",
        "/v1/config",
        "showConfig",
        "The settings in force; secrets are masked",
        show_config,
        Access.READ,
        answer=ConfigView,
    ),
    AdminEndpoint(
        "GET",
        "/v1/audit",
        "showAudit",
        "The newest changes that operators made",
        show_audit,
        Access.READ,
        query=AuditQuery,
        answer=AuditList,
    ),
)
