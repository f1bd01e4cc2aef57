"""Changes that operators make to all workers: what is said to be in force is so in each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.control.api.access import Guard
from gate.control.api.problems import Refusal
from gate.control.api.service import AdminService
from gate.control.blocked.table import BlockedTable
from gate.control.following import Following
from gate.control.health import Health
from gate.control.metrics.figures import Figures
from gate.control.metrics.pulse import Pulse
from gate.control.operators.audit import AuditLog
from gate.control.operators.explaining import Explainer
from gate.control.operators.overrides import Overrides
from gate.control.operators.routes import Routes
from gate.control.operators.runtime import Runtime
from gate.control.workers import Workers
from gate.ipc.scoreboard import Board
from gate.replica import Replica
from gate.settings import Mode, Settings
from tests.control.test_workers import Worker, fleet_at, until


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        yield replica


def operator_of(workers: Workers, replica: Replica, folder: Path) -> AdminService:
    settings, board = Settings(), Board(["control", "worker-0", "worker-1"])
    audit = AuditLog(folder / "audit.jsonl")
    runtime = Runtime(board, folder / "runtime.json")
    following = Following(settings, replica, workers)
    return AdminService(
        settings=settings,
        board=board,
        replica=replica,
        workers=workers,
        health=Health(board, workers, replica, runtime, following, allow_empty=False),
        figures=Figures(folder / "counters.json", board.born),
        pulse=Pulse(),
        unfiled=BlockedTable(names=1000, keep_seconds=1.0),
        overrides=Overrides(replica, workers, audit),
        routes=Routes(None, workers),
        explainer=Explainer(replica, settings.policy),
        runtime=runtime,
        audit=audit,
        guard=Guard(settings.admin, folder / "admin.token"),
        following=following,
    )


async def test_a_worker_that_fails_keeps_no_listener_of_the_others_in_the_old_mode(
    tmp_path: Path, replica: Replica
) -> None:
    path = tmp_path / "control.sock"
    sound, stuck = Worker(0, path), Worker(1, path, fails=True)
    async with fleet_at(path, workers=2) as workers, sound.running(), stuck.running():
        await until(lambda: not workers.missing)
        operator = operator_of(workers, replica, tmp_path)
        with pytest.raises(Refusal, match="worker 1"):
            await operator.set_modes(["http", "tls"], Mode.MONITOR)
        await until(lambda: len(sound.asked) > 1)
        await asyncio.sleep(0)
    told = {
        name: mode
        for kind, message in sound.asked
        if kind != "welcome"
        for name, mode in message["modes"].items()
    }
    assert told == {"http": "monitor", "tls": "monitor"}
