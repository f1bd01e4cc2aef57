"""Which data plane the workers have, and where an operator sees it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate.proxy import native
from tests.harness.gate_process import Gate
from tests.harness.operating import command
from tests.harness.planes import AS_CONFIGURED, PLANES, PYTHON, Plane
from tests.harness.running import fill, log_of, new_gate, status_of
from tests.harness.waiting import wait_for

WITHOUT_ENGINE = (
    "import sys; sys.modules['gate.native.engine'] = None; del sys.argv[0]; "
    "from gate.cli import main; main()"
)


@contextlib.contextmanager
def running(tmp_path: Path, plane: Plane, *through: str, **settings: Any) -> Iterator[Gate]:
    gate = new_gate(tmp_path, **settings)
    gate.plane, gate.through = plane, through
    fill(gate)
    gate.start()
    try:
        yield gate
    finally:
        gate.stop()


def workers_by_plane(gate: Gate) -> dict[str, float]:
    names = ("native", "python")
    return {name: gate.total("gate_data_plane_workers", plane=name) for name in names}


def of(plane: str) -> dict[str, float]:
    return {"native": 0.0, "python": 0.0} | {plane: 2.0}


@pytest.mark.parametrize("which", PLANES, ids=str)
def test_the_data_plane_is_told_in_log_metrics_and_status(tmp_path: Path, which: Plane) -> None:
    with running(tmp_path, which) as gate:
        wait_for(lambda: workers_by_plane(gate) == of(which.name), "each worker's plane")
        told = json.loads(command(gate, "status", "--json").stdout)
        assert told["data_planes"] == of(which.name)
        assert f"data plane   {which} in 2 workers\n" in command(gate, "status").stdout
        assert (
            "starting: 2 workers on the Python data plane (process.native is off), "
            if which is PYTHON
            else "starting: 2 workers on the native data plane, "
        ) in log_of(gate)
        assert "cannot be used" not in log_of(gate)


@pytest.mark.skipif(bool(native.MISSING), reason="there is no other plane")
def test_a_reload_changes_the_data_plane(tmp_path: Path) -> None:
    with running(tmp_path, AS_CONFIGURED, process={"native": "off"}) as gate:
        for value, plane in (("auto", "native"), ("off", "python")):
            gate.settings["process"]["native"] = value
            gate.config.write_text(yaml.safe_dump(gate.settings))
            assert command(gate, "reload").stdout == "reloaded\n"
            wait_for(lambda plane=plane: workers_by_plane(gate) == of(plane), f"workers on {plane}")  # type: ignore[misc]
            assert status_of(gate, "example.org") == 302


def test_a_gate_whose_compiled_part_is_missing_says_so_once_and_serves(tmp_path: Path) -> None:
    through = (sys.executable, "-c", WITHOUT_ENGINE)
    with running(tmp_path, AS_CONFIGURED, *through, process={"native": "auto"}) as gate:
        assert status_of(gate, "example.org") == 302
        wait_for(lambda: workers_by_plane(gate) == of("python"), "each worker's plane")
        assert log_of(gate).count("process.native: the compiled data plane cannot be used: ") == 1
        assert "on the Python data plane (it was not compiled" in log_of(gate)
