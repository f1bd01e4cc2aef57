"""A log level that is set while the gate runs holds in every process, also without a worker's link.

At level debug the supervisor tells that it has started a child, and the registry that it has
answered a request: whether such a line comes shows their level.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness.gate_process import Gate
from tests.harness.operating import change, command
from tests.harness.ports import free_port
from tests.harness.running import log_of, new_gate, restarts
from tests.harness.waiting import wait_for
from tests.ops.test_unfiled_reports import reported


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = new_gate(
        tmp_path,
        workers=1,
        sync={"registry": "embedded"},
        registry={"listen": f"127.0.0.1:{free_port()}"},
        process={"drain_seconds": 1, "reload_drain_seconds": 1},
    ).start()
    yield gate
    gate.stop()


def lines(gate: Gate, *parts: str) -> int:
    """The lines of the log that have all these parts."""
    return sum(all(part in line for part in parts) for line in log_of(gate).splitlines())


def supervisor_says(gate: Gate) -> bool:
    """Does it tell at level debug that it starts a child, when the worker is killed?"""
    told, died = lines(gate, "debug", "started as process"), restarts(gate, "worker-0")
    (worker,) = gate.workers()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: restarts(gate, "worker-0") > died and gate.workers(), "the next worker", 30)
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready")
    return lines(gate, "debug", "started as process") > told


def registry_says(gate: Gate) -> bool:
    """Does it tell at level debug that it answers a request?"""
    told = lines(gate, "debug", "gate.registry", "GET /v1/reports/unfiled")
    reported(gate)
    return lines(gate, "debug", "gate.registry", "GET /v1/reports/unfiled") > told


def holds(gate: Gate, *, debug: bool) -> None:
    wait_for(lambda: supervisor_says(gate) is debug, f"debug={debug} in the supervisor", 30)
    wait_for(lambda: registry_says(gate) is debug, f"debug={debug} in the registry")


def test_a_level_set_by_hand_reaches_the_supervisor_and_the_registry(gate: Gate) -> None:
    assert not supervisor_says(gate)
    assert not registry_says(gate)
    change(gate, "PUT", "/v1/log-level", {"level": "debug"})
    holds(gate, debug=True)
    change(gate, "PUT", "/v1/log-level", {"level": "info"})
    holds(gate, debug=False)


def test_a_level_set_by_hand_outlives_the_control_process_and_ends_with_a_reload(
    gate: Gate,
) -> None:
    change(gate, "PUT", "/v1/log-level", {"level": "debug"})
    (control,) = gate.who_listens(gate.admin)
    os.kill(control, signal.SIGKILL)
    wait_for(lambda: restarts_of_control(gate) == 1, "the next control process", 30)
    holds(gate, debug=True)
    assert command(gate, "reload").stdout == "reloaded\n"
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready")
    holds(gate, debug=False)


def restarts_of_control(gate: Gate) -> float:
    return restarts(gate, "control") if gate.ask_admin("/readyz")[0] == 200 else 0


def test_a_level_of_the_settings_reaches_them_with_a_reload(gate: Gate) -> None:
    gate.config.write_text(yaml.safe_dump(gate.settings | {"log": {"level": "debug"}}))
    assert command(gate, "reload").stdout == "reloaded\n"
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready")
    holds(gate, debug=True)
