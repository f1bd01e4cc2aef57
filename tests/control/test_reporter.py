"""Telling the registry of blocked names goes on, whatever comes between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gate.changes.errors import Cause, SyncError
from gate.control.blocked.outbox import Outbox
from gate.control.blocked.reporter import Reporter
from gate.control.blocked.table import BlockedName
from gate.settings import ReportSettings, Sync
from gate.sync.source import Source
from tests.control.test_workers import until


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (SyncError(Cause.UNREACHABLE, "away"), "and wait: away"),
        (RuntimeError("a bug"), "RuntimeError: a bug"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
)
async def test_a_fault_is_logged_and_the_same_report_is_sent_again(
    fault: Exception,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys: list[str] = []

    async def answer(_: Source, report: Mapping[str, object], key: str) -> tuple[int, int]:
        keys.append(key)
        if len(keys) < 3:
            raise fault
        return 1, 0

    monkeypatch.setattr(Source, "report_unfiled", answer)
    outbox = Outbox(10)
    outbox.add(BlockedName("a.cn", "http", "unfiled", "", 1, 100.0, 100.0))
    settings = ReportSettings.model_construct(enabled=True, seconds=0.01, gate="edge-1")
    reporter = Reporter(settings, Sync(registry="http://127.0.0.1:9"), tmp_path, outbox, no_disk)
    with caplog.at_level(logging.INFO):
        task = asyncio.create_task(reporter.run())
        await until(lambda: "blocked names are reported again" in caplog.text)
        assert not task.done()
        task.cancel()
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert told in caplog.text
    assert len(outbox) == 0
    reports = dict(next(iter(reporter.samples()))[1])
    assert reports == {("taken",): 1.0, ("failed",): 2.0, ("refused",): 0.0}


class Registry:
    """A registry that answers reports as it is told."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        """The next statuses; 200 when there is none left."""
        self.most = 1_000
        """Names of a report that is not too large."""
        self.told: list[dict[str, int]] = []
        """The names and counts that were taken."""
        self.keys: list[str] = []
        self.is_old = False
        """Whether it is of a program that knows no destinations."""

    async def answer(self, request: web.Request) -> web.Response:
        names = (await request.json())["names"]
        self.keys.append(request.headers["Idempotency-Key"])
        status = self.answers.pop(0) if self.answers else 200
        if self.is_old and any("destinations" in item for item in names):
            problem = {"en": "extra inputs", "field": "names.0.destinations"}
            return web.json_response(problem, status=422)
        if len(names) > self.most:
            status = 413
        if status != 200:
            return web.json_response({"en": "as the test wants it"}, status=status)
        self.told.append({item["name"]: item["count"] for item in names})
        return web.json_response({"taken": len(names), "refused": []})


@pytest.fixture
async def registry() -> AsyncIterator[tuple[Registry, str]]:
    made = Registry()
    app = web.Application()
    app.router.add_post("/v1/reports/unfiled", made.answer)
    async with TestServer(app) as server:
        yield made, str(server.make_url("")).rstrip("/")


async def no_disk() -> None:
    """Keep nothing."""


@contextlib.asynccontextmanager
async def reporting(
    url: str, outbox: Outbox, folder: Path, keep: Callable[[], Awaitable[None]] = no_disk
) -> AsyncIterator[Reporter]:
    settings = ReportSettings.model_construct(enabled=True, seconds=0.01, gate="edge-1")
    reporter = Reporter(settings, Sync(registry=url), folder, outbox, keep)
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter
        assert not task.done()
    finally:
        task.cancel()


def figures(reporter: Reporter) -> dict[str, float]:
    ((_, reports), *_, (_, ((_, dropped),))) = reporter.samples()
    return {result: count for (result,), count in reports} | {"dropped": dropped}


@pytest.mark.parametrize("status", [400, 409, 415, 422])
async def test_a_report_that_the_registry_refuses_for_good_is_dropped_and_later_ones_go_on(
    registry: tuple[Registry, str], status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, url = registry
    made.answers = [status]
    outbox = Outbox(10)
    outbox.add(BlockedName("a.cn", "http", "unfiled", "", 3, 100.0, 100.0))
    outbox.add(BlockedName("b.cn", "http", "unfiled", "", 4, 100.0, 100.0))
    async with reporting(url, outbox, tmp_path) as reporter:
        await until(lambda: len(made.keys) == 1 and len(outbox) == 0)
        outbox.add(BlockedName("c.cn", "http", "unfiled", "", 5, 100.0, 100.0))
        await until(lambda: len(made.told) == 1 and len(outbox) == 0)
    assert made.told == [{"c.cn": 5}]
    assert figures(reporter) == {"taken": 1, "failed": 0, "refused": 1, "dropped": 7}
    assert "a report of 2 blocked names with 7 requests is dropped" in caplog.text
    assert f"answered {status}: as the test wants it" in caplog.text


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 503])
async def test_a_refusal_that_has_nothing_to_do_with_the_report_costs_no_name(
    registry: tuple[Registry, str], status: int, tmp_path: Path
) -> None:
    made, url = registry
    made.answers = [status] * 3
    outbox = Outbox(10)
    outbox.add(BlockedName("a.cn", "http", "unfiled", "", 3, 100.0, 100.0))
    async with reporting(url, outbox, tmp_path) as reporter:
        await until(lambda: len(made.told) == 1 and len(outbox) == 0)
    assert made.told == [{"a.cn": 3}]
    assert len(made.keys) == 4
    assert len(set(made.keys)) == 1
    assert figures(reporter) == {"taken": 1, "failed": 3, "refused": 0, "dropped": 0}


async def test_a_registry_of_an_older_program_is_told_of_no_destinations(
    registry: tuple[Registry, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, url = registry
    made.is_old = True
    outbox = Outbox(10)

    def ask(name: str) -> None:
        fields = "tls", "unfiled", "", 3, 100.0, 100.0, 0.0, "192.0.2.1:443"
        outbox.add(BlockedName(name, *fields))

    ask("a.cn")
    async with reporting(url, outbox, tmp_path) as reporter:
        await until(lambda: len(made.told) == 1 and len(outbox) == 0)
        assert len(made.keys) == 2
        assert len(set(made.keys)) == 1
        ask("b.cn")  # it is not asked each time
        await until(lambda: len(made.told) == 2 and len(outbox) == 0)
        assert len(made.keys) == 3
        monkeypatch.setattr(reporter, "_plain_until", 0.0)  # an hour later
        made.is_old = False
        ask("c.cn")
        await until(lambda: len(made.told) == 3 and len(outbox) == 0)
    assert made.told == [{"a.cn": 3}, {"b.cn": 3}, {"c.cn": 3}]
    assert figures(reporter) == {"taken": 3, "failed": 0, "refused": 0, "dropped": 0}


async def test_each_report_is_kept_once_before_it_is_sent(
    registry: tuple[Registry, str], tmp_path: Path
) -> None:
    made, url = registry
    made.answers = [503, 503]
    outbox = Outbox(10)
    kept: list[tuple[str, int]] = []

    async def keep() -> None:
        report = outbox.report()
        assert report is not None
        kept.append((report.key, len(made.keys)))

    async with reporting(url, outbox, tmp_path, keep):
        outbox.add(BlockedName("a.cn", "http", "unfiled", "", 1, 100.0, 100.0))
        await until(lambda: len(made.told) == 1 and len(outbox) == 0)
        outbox.add(BlockedName("a.cn", "http", "unfiled", "", 2, 100.0, 100.0))
        await until(lambda: len(made.told) == 2 and len(outbox) == 0)
    assert kept == [(made.keys[0], 0), (made.keys[3], 3)]


async def test_a_report_that_is_too_large_goes_out_in_smaller_ones(
    registry: tuple[Registry, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, url = registry
    made.most = 3
    outbox = Outbox(100)
    for number in range(20):
        outbox.add(BlockedName(f"n{number}.cn", "http", "unfiled", "", number + 1, 100.0, 100.0))
    async with reporting(url, outbox, tmp_path) as reporter:
        await until(lambda: len(outbox) == 0)
    told = {name: count for report in made.told for name, count in report.items()}
    assert told == {f"n{number}.cn": number + 1 for number in range(20)}
    assert sum(map(len, made.told)) == 20
    assert figures(reporter) == {"taken": 10, "failed": 0, "refused": 0, "dropped": 0}
    assert "too many blocked names in a report, from now on up to 2" in caplog.text


async def test_a_name_that_is_too_large_by_itself_is_dropped_and_the_others_are_told(
    registry: tuple[Registry, str], tmp_path: Path
) -> None:
    made, url = registry
    made.answers = [413, 413]
    outbox = Outbox(10)
    for name, count in (("a.cn", 3), ("b.cn", 9)):
        outbox.add(BlockedName(name, "http", "unfiled", "", count, 100.0, 100.0))
    async with reporting(url, outbox, tmp_path) as reporter:
        await until(lambda: len(outbox) == 0)
    assert made.told == [{"a.cn": 3}]
    assert figures(reporter) == {"taken": 1, "failed": 0, "refused": 1, "dropped": 9}
