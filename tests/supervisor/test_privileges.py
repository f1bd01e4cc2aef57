"""The processes give up their privileges."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from tests.harness.gate_process import Gate
from tests.harness.http_origin import HttpOrigin
from tests.supervisor.running import (
    fill,
    new_gate,
    refused,
    status_of,
)


def test_the_processes_become_the_wanted_user_and_cannot_go_back(
    tmp_path: Path, origin: HttpOrigin
) -> None:
    gate = new_gate(tmp_path, origin.address, process={"user": "nobody", "drain_seconds": 0})
    fill(gate)
    if os.getuid() != 0:  # whoever is not root is told so, and nothing is started
        assert refused(gate) == (
            "gate: process.user: only root can become 'nobody'; "
            "start the gate as root or set user and group to null"
        )
        return
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    gate.start()
    try:
        assert gate.process is not None
        nobody = pwd.getpwnam("nobody").pw_uid
        for pid in (gate.process.pid, *gate.children()):
            fields = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line
            )
            assert fields["Uid"].split() == [str(nobody)] * 4
            assert fields["NoNewPrivs"] == "1"
            assert int(fields["CapEff"], 16) == 0
        assert status_of(gate, "example.com") == 200
    finally:
        assert gate.stop() == 0


def test_the_control_socket_is_for_the_gates_user_only(gate: Gate) -> None:
    mode = (gate.directory / "control.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
