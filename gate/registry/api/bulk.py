"""Imports and exports over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import PurePath
from typing import Final, Literal

from aiohttp import web
from pydantic import Field

from gate.net.model import Model
from gate.registry import queries
from gate.registry.api.endpoint import RegistryCall, RegistryEndpoint
from gate.registry.api.pages import PageQuery, next_cursor
from gate.registry.api.streaming import stream
from gate.registry.bulk.exporting import export_filings
from gate.registry.bulk.files import FileFormat
from gate.registry.commands import Role
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import clean_text
from gate.registry.import_modes import ImportMode
from gate.registry.views import ImportView, RefusalView

PIECE_SECONDS: Final = 60
"""How long an upload may stand still."""

PREVIEW_LINES: Final = 10_000
"""Lines that a dry run tells of."""

MEDIA: Final = {FileFormat.CSV: "text/csv", FileFormat.NDJSON: "application/x-ndjson"}
_SHEETS: Final = (
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.ms-excel",
    "application/vnd.oasis.opendocument.spreadsheet",
)
_OTHERS: Final = ("text/tab-separated-values", "application/octet-stream")
UPLOADED: Final = (*MEDIA.values(), *_SHEETS, *_OTHERS)
"""What an upload may be called; what it is, is found out from its content."""

_DIGEST = re.compile(r"[0-9a-f]{64}").fullmatch


class ImportQuery(Model):
    """What the file is called, and how it is meant."""

    name: str = Field("upload", min_length=1, max_length=200)
    mode: ImportMode = Field(
        ImportMode.ADD,
        description="add：只新增；revive：同时恢复已注销的域名；"
        "replace：名单即全部，未列出的注销 / add takes new filings; revive also files again what "
        "was cancelled; replace takes the list as all there is, and cancels what it leaves out",
    )
    max_shrink: float = Field(
        0.1,
        ge=0,
        le=1,
        description="replace 可关闭的已备案域名比例 / "
        "share of the filed domains that replace may close",
    )
    dry_run: bool = Field(
        False,
        description="只预览，返回 PreviewView / only look; the answer is a PreviewView then",
    )
    registrable: bool = Field(
        False,
        description="将 www.example.cn 等改为可备案的 example.cn / "
        "take example.cn where the list has www.example.cn or another name below it",
    )


class RefusalPage(Model):
    """A page of refused lines, in order."""

    items: tuple[RefusalView, ...]
    next: str | None


class ExportQuery(Model):
    """Which format."""

    format: Literal["csv", "ndjson"] = "csv"


async def upload(call: RegistryCall) -> web.Response:
    """Take a file, and begin to import it."""
    if call.request.content_type not in UPLOADED:
        raise RegistryError("media_type", expected=" / ".join(UPLOADED))
    said = next((form for form, kind in MEDIA.items() if kind == call.request.content_type), None)
    asked: ImportQuery = call.query
    name = clean_text(PurePath(asked.name).name, field="name")
    pieces = _pieces(call.request)
    if asked.dry_run:
        preview = await call.service.jobs.preview(
            pieces,
            said=said,
            registrable=asked.registrable,
            actor=call.caller,
            mode=asked.mode,
            limit=PREVIEW_LINES,
        )
        return web.Response(text=preview.model_dump_json(), content_type="application/json")
    view = await call.service.jobs.receive(
        pieces,
        name=name,
        said=said,
        registrable=asked.registrable,
        actor=call.caller,
        mode=asked.mode,
        max_shrink=asked.max_shrink,
    )
    return web.Response(
        text=view.model_dump_json(),
        status=202,
        content_type="application/json",
        headers={"Location": f"/v1/imports/{view.digest}"},
    )


async def progress(call: RegistryCall) -> ImportView:
    """Return how far an import is."""
    digest = _digest(call)
    found = await call.service.read(queries.import_progress, digest)
    return found.model_copy(update={"trouble": call.service.jobs.trouble(digest)})


async def refused(call: RegistryCall) -> RefusalPage:
    """Return the lines that an import did not take."""
    asked: PageQuery = call.query
    digest = _digest(call)
    await call.service.read(queries.import_progress, digest)
    rows = await call.service.read(
        queries.find_refusals, digest, after=asked.after_number(), limit=asked.limit
    )
    return RefusalPage(items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.line))


async def export(call: RegistryCall) -> web.StreamResponse:
    """Return every filing, as a file that an import takes back."""
    asked: ExportQuery = call.query
    form = FileFormat(asked.format)
    pieces = export_filings(call.service.registry.database, form)
    return await stream(call, pieces, name=f"filings.{form}", media=MEDIA[form])


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.wait_for(request.content.readany(), PIECE_SECONDS):
            yield piece
    except (TimeoutError, web.RequestPayloadError, ConnectionError) as error:
        raise RegistryError("body_invalid", detail=Said("不完整", "it ended early")) from error


def _digest(call: RegistryCall) -> str:
    digest = call.path["digest"]
    if _DIGEST(digest) is None:
        raise RegistryError("import_unknown", field="digest", digest=digest[:64])
    return digest


ENDPOINTS = (
    RegistryEndpoint(
        "POST",
        "/v1/imports",
        "import",
        "批量导入 / import a file of filings",
        upload,
        Role.REGISTRAR,
        query=ImportQuery,
        upload=UPLOADED,
        answer=ImportView,
        status=202,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/imports/{digest}",
        "showImport",
        "导入进度 / progress of an import",
        progress,
        Role.REGISTRAR,
        answer=ImportView,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/imports/{digest}/refusals",
        "showRefusals",
        "未导入的行及原因 / refused lines and why",
        refused,
        Role.REGISTRAR,
        query=PageQuery,
        answer=RefusalPage,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/export",
        "export",
        "批量导出 / export all filings",
        export,
        Role.ADMIN,
        query=ExportQuery,
        media=tuple(MEDIA.values()),
    ),
)
