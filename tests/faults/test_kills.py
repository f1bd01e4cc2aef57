"""SIGKILL to each kind of process, under load over HTTP and TLS."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.embedded import gate_inside
from tests.faults.watching import watched
from tests.harness.gate_process import Gate
from tests.harness.running import alive, fill, pid_of, restarts
from tests.harness.waiting import wait_for


def is_ready(gate: Gate) -> bool:
    return gate.ask_admin("/readyz")[0] == 200


@pytest.mark.parametrize("name", ["control", "worker-0", "worker-1"])
def test_a_killed_process_comes_back_and_no_verdict_is_wrong(gate: Gate, name: str) -> None:
    with watched(gate) as watch:
        os.kill(pid_of(gate, name), signal.SIGKILL)
        watch.goes_on("service after the kill")
        wait_for(lambda: is_ready(gate) and restarts(gate, name) == 1, "the restart", 30)


def test_all_processes_at_once_come_back(gate: Gate) -> None:
    with watched(gate) as watch:
        for pid in gate.children():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: is_ready(gate) and restarts(gate, "worker-1") == 1, "the restarts", 30)
        watch.goes_on("service after the kills")
        fill(gate, "example.com\nexample.net\n")  # returns when it is in force everywhere


def test_a_killed_supervisor_takes_its_children_along_and_a_new_one_starts_at_once(
    gate: Gate,
) -> None:
    with watched(gate) as watch:
        assert gate.process is not None
        children = gate.children()
        gate.process.kill()
        gate.process.wait(10)
        gate.start()  # while the children are still draining
        watch.goes_on("service from the new gate")
        wait_for(lambda: not any(map(alive, children)), "the end of the old children", 20)
        assert len(gate.children()) == 3


def test_the_registry_inside_is_killed_under_load(tmp_path: Path, origins: dict[str, Any]) -> None:
    """It has filed the domain when it dies."""
    with gate_inside(tmp_path, origins) as inside, watched(inside) as watch:
        names = ["control", "worker-0", "worker-1", "registry"]
        os.kill(inside.children()[names.index("registry")], signal.SIGKILL)
        watch.goes_on("service without the registry")
        wait_for(lambda: restarts(inside, "registry") == 1, "the restart", 30)
        wait_for(lambda: inside.total("gate_sync_connected", channel="pull") == 1, "the sync", 30)
