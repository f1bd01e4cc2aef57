"""Long answers on the blocked names: nothing else in the control process waits for them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gate.control.api.access import Caller
from gate.control.api.blocked import MOST, BlockedQuery, export, show
from gate.control.api.endpoint import AdminCall
from gate.control.api.service import AdminService
from gate.control.blocked.table import BlockedName
from gate.net.endpoint import Handler
from gate.replica import Replica
from tests.control.test_service import operator_of
from tests.control.test_workers import fleet_at

ROWS = 1000  # all that the table of these tests takes
TURNS = 3
SEEN = ("first_seen", "last_seen")


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        yield replica


async def answer_beside(
    handler: Handler[AdminService, Caller], folder: Path, replica: Replica
) -> tuple[str, int]:
    """The answer with all rows, and how often something else had its turn meanwhile."""
    path = folder / "control.sock"
    async with fleet_at(path, workers=2) as workers:
        operator = operator_of(workers, replica, folder)
        for number in range(ROWS):
            name = f"n{number}.example.cn"
            operator.unfiled.add(
                BlockedName(name, "tls", "unfiled", "default", number + 1, 1.0, 2.0)
            )
        call = AdminCall(
            make_mocked_request("GET", "/"),
            operator,
            Caller("anybody", ""),
            BlockedQuery(limit=MOST),
            None,
        )
        answering = asyncio.ensure_future(handler(call))
        turns = 0
        while not answering.done():
            turns += 1
            await asyncio.sleep(0)
        response = answering.result()
        assert isinstance(response, web.Response)
        return str(response.text), turns


async def test_a_long_csv_is_made_in_turns(tmp_path: Path, replica: Replica) -> None:
    text, turns = await answer_beside(export, tmp_path, replica)
    rows = list(csv.DictReader(io.StringIO(text)))
    first = rows[0]
    told = {datetime.fromisoformat(first[name]).timestamp() // 1 for name in SEEN}
    assert told == {int(first[f"{name}_epoch"]) for name in SEEN}
    assert [int(row["count"]) for row in rows] == list(range(ROWS, 0, -1))
    assert turns > TURNS


async def test_a_long_list_is_made_in_turns(tmp_path: Path, replica: Replica) -> None:
    text, turns = await answer_beside(show, tmp_path, replica)
    found = json.loads(text)
    assert [row["count"] for row in found["items"]] == list(range(ROWS, 0, -1))
    assert (found["rows"], found["unlisted"]) == (ROWS, 0)
    assert turns > TURNS
