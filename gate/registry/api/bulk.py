"""Imports and exports over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import PurePath
from typing import Final

from aiohttp import web
from pydantic import Field

from gate.registry import queries
from gate.registry.api.endpoint import Call, Endpoint
from gate.registry.api.pages import PageQuery, next_cursor
from gate.registry.api.streaming import stream
from gate.registry.bulk.exporting import export_filings
from gate.registry.bulk.files import FileFormat
from gate.registry.commands import Model, Role
from gate.registry.errors import RegistryError, Said
from gate.registry.rules import clean_text
from gate.registry.views import ImportView, RefusalView

PIECE_SECONDS: Final = 60
"""How long an upload may stand still."""

MEDIA: Final = {FileFormat.CSV: "text/csv", FileFormat.NDJSON: "application/x-ndjson"}

_DIGEST = re.compile(r"[0-9a-f]{64}").fullmatch


class ImportQuery(Model):
    """What the file is called; its format is that of its media type."""

    name: str = Field("upload", min_length=1, max_length=200)


class RefusalPage(Model):
    """A page of refused lines, in order."""

    items: tuple[RefusalView, ...]
    next: str | None


class ExportQuery(Model):
    """Which format."""

    format: FileFormat = FileFormat.CSV


async def upload(call: Call) -> web.Response:
    """Take a file, and begin to import it."""
    form = next((form for form, kind in MEDIA.items() if kind == call.request.content_type), None)
    if form is None:
        raise RegistryError("media_type", expected=" / ".join(MEDIA.values()))
    asked: ImportQuery = call.query
    name = clean_text(PurePath(asked.name).name, field="name")
    view = await call.service.jobs.receive(
        _pieces(call.request), name=name, form=form, actor=call.actor
    )
    return web.Response(
        text=view.model_dump_json(),
        status=202,
        content_type="application/json",
        headers={"Location": f"/v1/imports/{view.digest}"},
    )


async def progress(call: Call) -> ImportView:
    """How far an import is."""
    return await call.service.read(queries.import_progress, _digest(call))


async def refused(call: Call) -> RefusalPage:
    """The lines that an import did not take."""
    asked: PageQuery = call.query
    digest = _digest(call)
    await call.service.read(queries.import_progress, digest)
    rows = await call.service.read(
        queries.find_refusals, digest, after=asked.after_number(), limit=asked.limit
    )
    return RefusalPage(items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.line))


async def export(call: Call) -> web.StreamResponse:
    """Every filing, as a file that an import takes back."""
    asked: ExportQuery = call.query
    pieces = export_filings(call.service.registry.database, asked.format)
    return await stream(call, pieces, name=f"filings.{asked.format}", media=MEDIA[asked.format])


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.wait_for(request.content.readany(), PIECE_SECONDS):
            yield piece
    except (TimeoutError, web.RequestPayloadError, ConnectionError) as error:
        raise RegistryError("body_invalid", detail=Said("不完整", "it ended early")) from error


def _digest(call: Call) -> str:
    digest = call.path["digest"]
    if _DIGEST(digest) is None:
        raise RegistryError("import_unknown", field="digest", digest=digest[:64])
    return digest


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/imports",
        "import",
        "批量导入 / import a file of filings",
        upload,
        role=Role.REGISTRAR,
        query=ImportQuery,
        upload=tuple(MEDIA.values()),
        answer=ImportView,
        status=202,
    ),
    Endpoint(
        "GET",
        "/v1/imports/{digest}",
        "showImport",
        "导入进度 / progress of an import",
        progress,
        role=Role.REGISTRAR,
        answer=ImportView,
    ),
    Endpoint(
        "GET",
        "/v1/imports/{digest}/refusals",
        "showRefusals",
        "未导入的行及原因 / refused lines and why",
        refused,
        role=Role.REGISTRAR,
        query=PageQuery,
        answer=RefusalPage,
    ),
    Endpoint(
        "GET",
        "/v1/export",
        "export",
        "批量导出 / export all filings",
        export,
        role=Role.ADMIN,
        query=ExportQuery,
        media=tuple(MEDIA.values()),
    ),
)
