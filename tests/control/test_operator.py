"""Changes that operators make to all workers: what is said to be in force is so in each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.control.api.access import Guard
from gate.control.api.operator import Operator
from gate.control.api.problems import Refusal
from gate.control.audit import AuditLog
from gate.control.explaining import Explainer
from gate.control.figures import Figures
from gate.control.fleet import Fleet
from gate.control.health import Health
from gate.control.overrides import Overrides
from gate.control.pulse import Pulse
from gate.control.runtime import Runtime
from gate.control.unfiled import UnfiledTable
from gate.replica import Replica
from gate.scoreboard import Board
from gate.settings import Mode, Settings
from tests.control.test_fleet import Worker, fleet_at, until


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        yield replica


def operator_of(fleet: Fleet, replica: Replica, folder: Path) -> Operator:
    settings, board = Settings(), Board(["control", "worker-0", "worker-1"])
    audit = AuditLog(folder / "audit.jsonl")
    return Operator(
        settings=settings,
        board=board,
        replica=replica,
        fleet=fleet,
        health=Health(board, fleet, replica),
        figures=Figures(board, replica, folder / "counters.json"),
        pulse=Pulse(),
        unfiled=UnfiledTable(names=1000, keep_seconds=1.0),
        overrides=Overrides(replica, fleet, audit),
        explainer=Explainer(replica, settings.policy),
        runtime=Runtime(board, folder / "runtime.json"),
        audit=audit,
        guard=Guard(settings.admin, folder / "admin.token"),
        sync=lambda: None,
    )


async def test_a_worker_that_fails_keeps_no_listener_of_the_others_in_the_old_mode(
    tmp_path: Path, replica: Replica
) -> None:
    path = tmp_path / "control.sock"
    sound, stuck = Worker(0, path), Worker(1, path, fails=True)
    async with fleet_at(path, workers=2) as fleet, sound.running(), stuck.running():
        await until(lambda: not fleet.missing)
        operator = operator_of(fleet, replica, tmp_path)
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
