"""What the registry shows of its records: the API's answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gate.registry.commands import FirstFiling, Model, NewService, Role, SubjectKind
from gate.registry.licence import ServiceKind

StatusName = Literal["filed", "filed_elsewhere", "suspended", "absent"]


class SubjectView(Model):
    """主体 on record; the certificate number is not shown."""

    licence: str
    name: str
    kind: SubjectKind
    province: str
    account: str | None


class FilingView(Model):
    """One domain on record. Without `subject` it was filed once and is absent now."""

    domain: str = Field(description="A-label form")
    display: str = Field(description="U-label form, for people")
    status: StatusName
    licence: str
    service: str | None = Field(None, description="name of the website or app")
    kind: ServiceKind | None = None
    subject: SubjectView | None = None
    providers: tuple[str, ...] = Field((), description="access providers, in order")
    changed_at: int = Field(description="Unix seconds")
    revision: int = Field(description="the log's revision of the last change")


class ServiceView(Model):
    """A service of a subject."""

    licence: str
    name: str
    kind: ServiceKind
    suspended: bool
    domains: tuple[str, ...]
    providers: tuple[str, ...]


class SubjectDetail(SubjectView):
    """A subject with its live services."""

    created_at: int
    services: tuple[ServiceView, ...]


class ApplicationView(Model):
    """An application and what was said of it."""

    id: int
    kind: Literal["first_filing", "new_service"]
    state: Literal["submitted", "approved", "rejected"]
    request: FirstFiling | NewService
    submitted_at: int
    submitted_by: str
    decided_at: int | None
    decided_by: str | None
    reason: str
    licence: str


class TokenView(Model):
    """A token, without its secret."""

    id: str
    name: str
    role: Role
    created_at: int
    expires_at: int | None
    revoked_at: int | None


class AuditView(Model):
    """One line of the audit trail."""

    id: int
    time: int
    actor: str
    operation: str
    target: str
    detail: str
    revision: int


class ImportView(Model):
    """How far an import is."""

    digest: str
    name: str
    format: Literal["csv", "ndjson"]
    state: Literal["running", "done"]
    size: int
    offset: int
    lines: int
    accepted: int
    unchanged: int
    refused: int
    started_at: int
    changed_at: int


class RefusalView(Model):
    """A line that an import did not take, and why."""

    line: int
    code: str
    zh: str
    en: str


class GateView(Model):
    """A gate that changes are pushed to. Times in Unix seconds, 0 for never."""

    name: str
    url: str
    revision: int | None = Field(description="newest revision that it has enforced")
    acknowledged_at: float
    seconds: float = Field(description="from push to acknowledgement, last time")
    pushes: int
    failures: int
    last_error: str


class PublishedView(Model):
    """Where publishing to NATS stands."""

    connected: bool
    epoch: str
    revision: int
    messages: int
    last_error: str


class HeadView(Model):
    """Where the registry's log stands."""

    epoch: str
    revision: int
    oldest: int
    domains: int = Field(description="domains on record, absent ones included")
