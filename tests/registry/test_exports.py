"""Exports to clients that do not read: the registry goes on for everybody else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from aiohttp import ClientResponse, ClientTimeout

from gate.registry.api import bulk
from gate.registry.api.service import CONNECTIONS
from gate.registry.bulk.files import FileFormat
from gate.registry.commands import Role
from gate.registry.database import Database
from tests.registry.conftest import serving


def endless(database: Database, form: FileFormat) -> Generator[bytes]:
    """An export of more than any socket holds, which can't be compressed."""
    with database.read():
        while True:
            yield os.urandom(1 << 20)


async def test_exports_that_stand_still_keep_no_gate_from_its_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "export_filings", endless)
    async with serving(str(tmp_path / "registry.db"), tmp_path) as api:

        async def begin() -> ClientResponse:
            return await api.session.get(
                api.server.make_url("/v1/export"),
                headers={"Authorization": f"Bearer {api.tokens[Role.ADMIN]}"},
                timeout=ClientTimeout(total=None),
            )

        begun = [asyncio.create_task(begin()) for _ in range(CONNECTIONS)]
        await asyncio.wait(begun, timeout=10)
        try:
            patience = ClientTimeout(total=20)
            changes = await api.call("GET", "/v1/changes?since=0", timeout=patience)
            assert changes.status == 200
            statuses = sorted([(await task).status for task in begun])
            assert statuses == [200, 200] + [503] * (CONNECTIONS - 2)
        finally:
            for task in begun:
                task.cancel()
                for response in await asyncio.gather(task, return_exceptions=True):
                    if isinstance(response, ClientResponse):
                        response.close()
