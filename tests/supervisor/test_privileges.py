"""The processes give up their privileges."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.gate_process import Gate
from tests.harness.http_origin import HttpOrigin
from tests.supervisor.running import (
    fill,
    new_gate,
    refused,
    status_of,
)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are for one user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_the_processes_become_the_wanted_user_and_cannot_go_back(
    open_folder: Path, origin: HttpOrigin
) -> None:
    process = {"user": "nobody", "drain_seconds": 0}
    gate = new_gate(open_folder, origin.address, process=process)
    fill(gate)
    if os.getuid() != 0:  # whoever is not root is told so, and nothing is started
        assert refused(gate) == (
            "gate: process.user: only root can become 'nobody'; "
            "start the gate as root or set user and group to null"
        )
        return
    gate.start()
    try:
        assert gate.process is not None
        nobody = pwd.getpwnam("nobody").pw_uid
        for pid in (gate.process.pid, *gate.children()):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            assert fields["Uid"].split() == [str(nobody)] * 4
            assert fields["NoNewPrivs"] == "1"
            assert int(fields["CapEff"], 16) == 0
        assert status_of(gate, "example.com") == 200
    finally:
        assert gate.stop() == 0


def test_the_control_socket_is_for_the_gates_user_only(gate: Gate) -> None:
    mode = (gate.directory / "control.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
