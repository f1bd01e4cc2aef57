"""What an operator may want to look at: the settings in force, and who changed what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import Field

from gate.control.api.endpoint import Call, Endpoint
from gate.control.api.model import Model
from gate.settings.mask import masked


class ConfigView(Model):
    """Every setting in force; secrets are masked."""

    settings: dict[str, Any]


class AuditQuery(Model):
    """How much of the audit log."""

    limit: int = Field(100, ge=1, le=1000)


class AuditView(Model):
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

    items: tuple[AuditView, ...]


async def show_config(call: Call) -> ConfigView:
    """The settings in force."""
    return ConfigView(settings=masked(call.operator.settings))


async def show_audit(call: Call) -> AuditList:
    """The newest changes that operators made."""
    query: AuditQuery = call.query
    return AuditList(
        items=tuple(AuditView(**asdict(entry)) for entry in call.operator.audit.newest(query.limit))
    )


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/config",
        "showConfig",
        "The settings in force; secrets are masked",
        show_config,
        answer=ConfigView,
    ),
    Endpoint(
        "GET",
        "/v1/audit",
        "showAudit",
        "The newest changes that operators made",
        show_audit,
        query=AuditQuery,
        answer=AuditList,
    ),
)
