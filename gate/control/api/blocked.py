"""/v1/unfiled: the blocked names that are asked for."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated, Final, Self

from aiohttp import web
from pydantic import AfterValidator, Field

from gate.control.api.access import Access
from gate.control.api.endpoint import AdminCall, AdminEndpoint
from gate.control.api.running import WhoBody
from gate.control.blocked.table import BlockedName, BlockedSort
from gate.control.blocked.turns import in_turns
from gate.names import InvalidName, canonical, registrable, to_display
from gate.net.model import Model, moment
from gate.policy import Reason

MOST: Final = 100_000


def _name(text: str) -> str:
    try:
        return canonical(text.encode("utf-8", "surrogatepass")).name or text
    except InvalidName as error:
        raise ValueError(f"{text!r}: {error.reason}") from error


class BlockedQuery(Model):
    """Which rows, and how many."""

    sort: BlockedSort = Field(
        BlockedSort.COUNT, description="What comes first, the greatest or newest."
    )
    limit: int = Field(100, ge=1, le=MOST)
    reason: Reason | None = Field(None, description="Only names blocked for this reason.")
    listener: str | None = Field(None, max_length=32, description="Only those of this listener.")
    domain: Annotated[str, AfterValidator(_name)] | None = Field(
        None, max_length=300, description="Only this name and those below it."
    )


class CsvQuery(BlockedQuery):
    """Which rows; all of them, if not said otherwise."""

    limit: int = Field(MOST, ge=1, le=MOST)


class UnfiledRow(Model):
    """A blocked name on one listener for one reason.

    `domain` is the part of the name that would be filed, `display` the name in Unicode, `route`
    the upstream route that it would take, `destination` the address and port that it was last
    asked for at, where a transparent listener or a PROXY header tells it ("" elsewhere),
    `per_minute` the requests lately.
    """

    name: str
    display: str
    domain: str
    reason: Reason
    listener: str
    route: str
    destination: str
    count: int
    per_minute: float
    first_seen: datetime
    last_seen: datetime

    @classmethod
    def of(cls, row: BlockedName, now: float) -> Self:
        """Return the view of a row."""
        return cls(
            name=row.name,
            display=to_display(row.name),
            domain="" if row.reason == Reason.IP_HOST else registrable(row.name) or "",
            reason=Reason(row.reason),
            listener=row.listener,
            route=row.route,
            destination=row.destination,
            count=row.count,
            per_minute=round(row.rate_at(now), 1),
            first_seen=moment(row.first_seen),
            last_seen=moment(row.last_seen),
        )


class UnfiledList(Model):
    """The first rows. `unlisted` requests since then were for names without a row."""

    since: datetime
    rows: int
    unlisted: int
    items: tuple[UnfiledRow, ...]


_TIMES: Final = ("first_seen", "last_seen")


async def chosen(call: AdminCall, query: BlockedQuery) -> AsyncIterator[UnfiledRow]:
    """Yield the rows that a query asks for, in turns."""
    table = call.service.unfiled
    rows = await table.rows(sort=query.sort, limit=query.limit, accept=_filter(query))
    async for row in in_turns(rows):
        yield UnfiledRow.of(row, table.now())


def _filter(query: BlockedQuery) -> Callable[[BlockedName], bool]:
    below = None if query.domain is None else f".{query.domain}"

    def accept(row: BlockedName) -> bool:
        return (
            (query.reason is None or row.reason == query.reason)
            and (query.listener is None or row.listener == query.listener)
            and (below is None or f".{row.name}".endswith(below))
        )

    return accept


async def show(call: AdminCall) -> web.Response:
    """Return the blocked names that are asked for."""
    table = call.service.unfiled
    async with call.service.large:
        items = [row.model_dump_json() async for row in chosen(call, call.query)]
    frame = UnfiledList(
        since=moment(table.since), rows=len(table), unlisted=table.unlisted, items=()
    ).model_dump_json()
    # The items are its last field. To let it write them all would hold everybody else up.
    text = f"{frame.removesuffix(']}')}{','.join(items)}]}}"
    return web.Response(text=text, content_type="application/json")


async def export(call: AdminCall) -> web.Response:
    """Return the same rows as CSV (RFC 4180) with a head line; times as Unix seconds, too."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*UnfiledRow.model_fields, *(f"{name}_epoch" for name in _TIMES)])
    writer.writeheader()
    async with call.service.large:
        async for row in chosen(call, call.query):
            epochs = {f"{name}_epoch": int(getattr(row, name).timestamp()) for name in _TIMES}
            writer.writerow(row.model_dump(mode="json") | epochs)
    return web.Response(
        text=text.getvalue(),
        content_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="unfiled.csv"'},
    )


async def forget(call: AdminCall) -> UnfiledList:
    """Forget every row, and count from now on."""
    body: WhoBody = call.body
    call.service.record(call.caller, body.by, "forget unfiled")
    call.service.unfiled.clear()
    return UnfiledList(since=moment(call.service.unfiled.since), rows=0, unlisted=0, items=())


ENDPOINTS = (
    AdminEndpoint(
        "GET",
        "/v1/unfiled",
        "showUnfiled",
        "The blocked names that are asked for",
        show,
        Access.READ,
        query=BlockedQuery,
        answer=UnfiledList,
    ),
    AdminEndpoint(
        "GET",
        "/v1/unfiled.csv",
        "exportUnfiled",
        "The same as CSV, with times in ISO 8601 and as Unix seconds",
        export,
        Access.READ,
        query=CsvQuery,
        media=("text/csv",),
    ),
    AdminEndpoint(
        "POST",
        "/v1/unfiled/forget",
        "forgetUnfiled",
        "Forget every row, and count from now on",
        forget,
        Access.WRITE,
        body=WhoBody,
        answer=UnfiledList,
    ),
)
