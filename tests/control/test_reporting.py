"""Telling the registry of blocked names goes on, whatever comes between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from gate.control.outbox import Outbox
from gate.control.unfiled import Row
from gate.reporting import Reporter
from gate.settings import Sync, UnfiledReport
from gate.sync.errors import Cause, SyncError
from gate.sync.source import Source
from tests.control.test_fleet import until


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
    outbox.add(Row("a.cn", "http", "unfiled", "", 1, 100.0, 100.0))
    settings = UnfiledReport.model_construct(enabled=True, seconds=0.01, gate="edge-1")
    reporter = Reporter(settings, Sync(registry="http://127.0.0.1:9"), tmp_path, outbox)
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
    assert reports == {("taken",): 1.0, ("failed",): 2.0}
