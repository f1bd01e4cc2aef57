"""Imports inside the service, over its end and its next start."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gate.registry.bulk.importing import import_file
from gate.registry.commands import CancelService
from gate.registry.import_modes import ImportMode
from gate.registry.jobs import Jobs
from gate.registry.queries import import_progress
from gate.registry.registry import LOCAL, Registry
from gate.registry.views import ImportView
from tests.registry.filings import do, status

FILE = "domain,status,licence,subject,subject_kind\na.cn,,鲁ICP备09090609号-1,甲公司,\n".encode()
DIGEST = hashlib.sha256(FILE).hexdigest()


@pytest.fixture
async def jobs(registry: Registry, tmp_path: Path) -> AsyncIterator[Jobs]:
    made = started(registry, tmp_path)
    yield made
    await made.close()


def started(registry: Registry, folder: Path) -> Jobs:
    """The jobs of a service that has just begun."""
    jobs = Jobs(registry, folder / "uploads", limit=1 << 20)
    jobs.resume()
    return jobs


async def upload(jobs: Jobs, mode: ImportMode = ImportMode.ADD) -> ImportView:
    async def pieces() -> AsyncIterator[bytes]:
        yield FILE

    return await jobs.receive(pieces(), name="list.csv", actor=LOCAL, mode=mode)


def progress(registry: Registry) -> ImportView:
    with registry.database.read() as connection:
        return import_progress(connection, DIGEST)


async def test_an_import_that_ends_as_the_service_stops_is_not_done_again(
    registry: Registry, jobs: Jobs, tmp_path: Path
) -> None:
    assert (await upload(jobs)).state == "running"
    await jobs.close()  # in the middle of the only chunk
    assert progress(registry).state == "done"
    assert list(jobs.spool.iterdir()) == []


async def test_a_file_left_behind_by_an_import_that_was_done_brings_nothing_back(
    registry: Registry, tmp_path: Path
) -> None:
    spooled = tmp_path / "uploads" / f"{DIGEST}.csv"
    spooled.parent.mkdir()
    spooled.write_bytes(FILE)
    done = list(import_file(registry, spooled, actor=LOCAL))[-1]
    do(registry, CancelService(domain="a.cn"))  # while the service was down
    jobs = started(registry, tmp_path)
    await jobs.finished(DIGEST)
    assert status(registry, "a.cn") == "absent"
    assert progress(registry) == done
    assert not spooled.exists()
    assert (await upload(jobs)).state == "running"  # somebody asks for it again
    await jobs.finished(DIGEST)
    assert status(registry, "a.cn") == "absent", "the list is older than the cancellation"
    assert (await upload(jobs, mode=ImportMode.REVIVE)).state == "running"
    await jobs.finished(DIGEST)
    assert status(registry, "a.cn") == "filed"
    await jobs.close()


async def test_a_file_half_done_is_gone_on_with(registry: Registry, tmp_path: Path) -> None:
    spooled = tmp_path / "uploads" / f"{DIGEST}.csv"
    spooled.parent.mkdir()
    spooled.write_bytes(FILE)
    assert next(import_file(registry, spooled, actor=LOCAL)).state == "running"
    jobs = started(registry, tmp_path)
    await jobs.finished(DIGEST)
    assert status(registry, "a.cn") == "filed"
    await jobs.close()
