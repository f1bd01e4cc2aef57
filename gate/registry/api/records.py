"""Reading: filings, subjects, applications."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gate.net.model import Model
from gate.registry import log, queries
from gate.registry.api.endpoint import RegistryCall, RegistryEndpoint
from gate.registry.api.pages import PageQuery, next_cursor
from gate.registry.commands import Role
from gate.registry.fields import clean_text
from gate.registry.history import history
from gate.registry.queries import FilingQuery
from gate.registry.views import (
    ApplicationView,
    FilingView,
    FleetOverrideView,
    HeadView,
    HeldSetView,
    HistoryView,
    StatusName,
    SubjectDetail,
)

Term = Annotated[str, Field(min_length=1, max_length=300)]


class FilingsQuery(PageQuery):
    """Every part that is given must fit."""

    domain: Term | None = Field(None, description="域名 / domain")
    licence: Term | None = Field(
        None, description="主体或服务备案号 / licence number of a subject or service"
    )
    subject: Term | None = Field(None, description="主体名称的一部分 / part of a subject's name")
    account: Term | None = Field(None, description="账号 / account")
    status: StatusName | None = None
    q: Term | None = Field(
        None, description="域名、备案号或主体名称 / domain, licence number or subject"
    )


class FilingPage(Model):
    """A page of filings, in order of domain."""

    items: tuple[FilingView, ...]
    next: str | None


class FleetOverrides(Model):
    """What operators decided for every gate, by domain."""

    items: tuple[FleetOverrideView, ...]


class ApplicationsQuery(PageQuery):
    """Which applications."""

    state: Literal["submitted", "approved", "rejected"] | None = None


class ApplicationPage(Model):
    """A page of applications, in order of number."""

    items: tuple[ApplicationView, ...]
    next: str | None


async def find(call: RegistryCall) -> FilingPage:
    """Search the filings."""
    asked: FilingsQuery = call.query
    rows = await call.service.read(
        queries.find_filings,
        FilingQuery(
            domain=asked.domain,
            licence=asked.licence,
            subject=_clean(asked.subject, "subject"),
            account=_clean(asked.account, "account"),
            status=asked.status,
            text=_clean(asked.q, "q"),
        ),
        after=asked.after_text(),
        limit=asked.limit,
    )
    return FilingPage(
        items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.domain)
    )


async def show(call: RegistryCall) -> FilingView:
    """Return one domain's record."""
    return await call.service.read(queries.filing, call.path["domain"])


async def show_history(call: RegistryCall) -> HistoryView:
    """Return what became of a domain."""
    return await call.service.read(history, call.path["domain"])


async def show_subject(call: RegistryCall) -> SubjectDetail:
    """Return one subject with its services."""
    return await call.service.read(queries.subject, call.path["licence"])


async def find_applications(call: RegistryCall) -> ApplicationPage:
    """Return applications by state."""
    asked: ApplicationsQuery = call.query
    rows = await call.service.read(
        queries.find_applications,
        state=asked.state,
        after=asked.after_number(),
        limit=asked.limit,
    )
    return ApplicationPage(
        items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.id)
    )


async def show_application(call: RegistryCall) -> ApplicationView:
    """Return one application."""
    return await call.service.read(queries.application, int(call.path["application"]))


async def show_head(call: RegistryCall) -> HeadView:
    """Return where the log stands."""
    at = await call.service.read(log.head)
    domains = await call.service.read(queries.count_domains)
    held = call.service.snapshots.held
    return HeadView(
        epoch=at.epoch,
        revision=at.revision,
        oldest=at.oldest,
        domains=domains,
        filed=await call.service.read(queries.count_filed),
        held=held and HeldSetView(before=held.before, filed=held.filed),
    )


def _clean(text: str | None, field: str) -> str | None:
    return None if text is None else clean_text(text, field=field, limit=300)


async def show_overrides(call: RegistryCall) -> FleetOverrides:
    """Return what operators decided for every gate."""
    return FleetOverrides(items=tuple(await call.service.read(queries.fleet_overrides)))


ENDPOINTS = (
    RegistryEndpoint(
        "GET",
        "/v1/overrides",
        "showFleetOverrides",
        "在所有网关放行或封禁的域名 / domains exempt or suspended at every gate",
        show_overrides,
        Role.READER,
        answer=FleetOverrides,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/filings",
        "findFilings",
        "查询备案 / search filings",
        find,
        Role.READER,
        query=FilingsQuery,
        answer=FilingPage,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/filings/{domain}",
        "showFiling",
        "域名的备案记录，含上级域名 / the record of a domain, or of one above it",
        show,
        Role.READER,
        answer=FilingView,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/filings/{domain}/history",
        "showHistory",
        "域名的变更历史 / what became of a domain",
        show_history,
        Role.REGISTRAR,
        answer=HistoryView,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/subjects/{licence}",
        "showSubject",
        "主体及其服务 / a subject and its services",
        show_subject,
        Role.READER,
        answer=SubjectDetail,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/applications",
        "findApplications",
        "备案申请 / applications",
        find_applications,
        Role.READER,
        query=ApplicationsQuery,
        answer=ApplicationPage,
    ),
    RegistryEndpoint(
        "GET",
        r"/v1/applications/{application:\d{1,15}}",
        "showApplication",
        "一项申请 / one application",
        show_application,
        Role.READER,
        answer=ApplicationView,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/head",
        "showHead",
        "变更日志的位置 / where the change log stands",
        show_head,
        Role.READER,
        answer=HeadView,
    ),
)
