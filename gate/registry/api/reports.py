"""What gates report: blocked names that visitors ask for."""

from __future__ import annotations

from collections.abc import Generator
from enum import StrEnum

from aiohttp import web
from pydantic import Field

from gate.net.model import Model
from gate.registry import blocked_names
from gate.registry.api.endpoint import KEY_HEADER, RegistryCall, RegistryEndpoint, idempotency_key
from gate.registry.api.pages import PageQuery, next_cursor
from gate.registry.api.streaming import stream
from gate.registry.blocked_names import read_key, sort_key
from gate.registry.commands import Role
from gate.registry.database import Database
from gate.registry.unfiled import (
    ReportTaken,
    UnfiledQuery,
    UnfiledReport,
    UnfiledView,
    write_csv,
)


class ListFormat(StrEnum):
    """A page as JSON, or the whole list as CSV."""

    JSON = "json"
    CSV = "csv"


class UnfiledPageQuery(PageQuery, UnfiledQuery):
    """Which names, how, and which page of them."""

    format: ListFormat = Field(
        ListFormat.JSON, description="csv 为完整列表 / csv is the whole list, without pages"
    )


class UnfiledPage(Model):
    """A page of blocked names."""

    items: tuple[UnfiledView, ...]
    next: str | None


async def report(call: RegistryCall) -> ReportTaken:
    """Add a gate's counts."""
    key = idempotency_key(call.request)
    return await call.service.write(
        lambda: call.service.registry.report_unfiled(call.body, actor=call.caller, key=key)
    )


async def find(call: RegistryCall) -> UnfiledPage | web.StreamResponse:
    """Blocked names, as a page or as one CSV file."""
    asked: UnfiledPageQuery = call.query
    if asked.format is ListFormat.CSV:
        pieces = _csv(call.service.registry.database, asked)
        return await stream(call, pieces, name="unfiled.csv", media="text/csv")
    rows = await call.service.read(
        blocked_names.find, asked, after=read_key(asked.after_text()), limit=asked.limit
    )

    def key(row: UnfiledView) -> str:
        number, name = sort_key(row, asked.sort)
        return f"{number} {name}"

    return UnfiledPage(items=tuple(rows), next=next_cursor(rows, asked.limit, key))


def _csv(database: Database, query: UnfiledQuery) -> Generator[bytes]:
    """Yield the list, all of it from one state of the database."""
    with database.read() as connection:
        for piece in write_csv(blocked_names.find_all(connection, query)):
            yield piece.encode()


ENDPOINTS = (
    RegistryEndpoint(
        "POST",
        "/v1/reports/unfiled",
        "reportUnfiled",
        "上报未备案域名的访问 / report blocked names that are asked for",
        report,
        Role.READER,
        body=UnfiledReport,
        answer=ReportTaken,
        headers=KEY_HEADER,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/reports/unfiled",
        "findUnfiled",
        "各网关上报的未备案域名 / blocked names, over all gates",
        find,
        Role.READER,
        query=UnfiledPageQuery,
        answer=UnfiledPage,
        media=("application/json", "text/csv"),
    ),
)
