"""Long answers to clients that do not read: the registry goes on for everybody else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientResponse, ClientTimeout

from gate.registry.api import bulk, reports, streaming
from gate.registry.commands import Role
from gate.registry.database import Database
from gate.registry.errors import RegistryError
from gate.registry.migrations import migrate
from gate.registry.registry import Registry
from gate.registry.service import CONNECTIONS, LONG_READERS
from tests.harness.waiting import wait_for
from tests.registry.conftest import Api, serving

EXPORT, LIST = "/v1/export", "/v1/reports/unfiled?format=csv"


def endless(database: Database, _: object) -> Generator[bytes]:
    """More than any socket holds, which can't be compressed."""
    with database.read():
        while True:
            yield os.urandom(1 << 20)


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(bulk, "export_filings", endless)
    monkeypatch.setattr(reports, "_csv", endless)
    async with serving(str(tmp_path / "registry.db"), tmp_path) as api:
        yield api


@asynccontextmanager
async def standing_still(api: Api, path: str, count: int) -> AsyncIterator[list[ClientResponse]]:
    """Answers to `count` requests, of which nothing more is read."""

    async def begin() -> ClientResponse:
        return await api.session.get(
            api.server.make_url(path),
            headers={"Authorization": f"Bearer {api.tokens[Role.ADMIN]}"},
            timeout=ClientTimeout(total=None),
        )

    begun = await asyncio.gather(*(begin() for _ in range(count)))
    try:
        yield begun
    finally:
        for response in begun:
            response.close()


@pytest.mark.parametrize("path", [EXPORT, LIST])
async def test_exports_that_stand_still_keep_no_gate_from_its_changes(api: Api, path: str) -> None:
    async with standing_still(api, path, CONNECTIONS) as begun:
        patience = ClientTimeout(total=20)
        changes = await api.call("GET", "/v1/changes?since=0", timeout=patience)
        assert changes.status == 200
        statuses = sorted(response.status for response in begun)
        assert statuses == [200] * LONG_READERS + [503] * (CONNECTIONS - LONG_READERS)


@pytest.mark.parametrize("path", [EXPORT, LIST])
async def test_an_export_whose_client_does_not_read_is_cut_off(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PIECE_SECONDS", 0.2)
    async with standing_still(api, path, LONG_READERS) as begun:
        ended = lambda: not api.service.exports.locked()  # noqa: E731
        await asyncio.to_thread(wait_for, ended, "an export to end", 20)
        with pytest.raises(ClientError):  # it does not look whole
            await asyncio.gather(*(response.read() for response in begun))


def test_a_read_that_finds_every_connection_in_use_is_told_to_come_again(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "registry.db"), readers=1)
    migrate(database)
    database.readers.pool._timeout = 0.0  # type: ignore[attr-defined]  # 30 s otherwise
    try:
        with database.read(), pytest.raises(RegistryError, match="busy"):
            Registry(database).head()
    finally:
        database.close()
