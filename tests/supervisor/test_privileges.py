"""The processes give up their privileges."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from tests.harness.gate_process import GATE, Gate, listener
from tests.harness.http_origin import HttpOrigin
from tests.harness.ports import free_low_port
from tests.harness.rights import require_privileged_ports
from tests.harness.running import fill, new_gate, refused, status_of
from tests.supervisor.users import NET_BIND_SERVICE, as_nobody, own, status_fields

pytestmark = pytest.mark.usefixtures("executed")  # what it may still read when it is somebody else


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
            fields = status_fields(pid)
            assert fields["Uid"].split() == [str(nobody)] * 4
            assert fields["NoNewPrivs"] == "1"
            assert int(fields["CapEff"], 16) == 0
        assert status_of(gate, "example.com") == 200
    finally:
        assert gate.stop() == 0


def test_one_capability_is_all_that_a_low_port_takes(open_folder: Path, origin: HttpOrigin) -> None:
    """As the systemd unit starts it: not root, with CAP_NET_BIND_SERVICE and nothing else."""
    require_privileged_ports()
    entry = listener("http", "http") | {"address": f"127.0.0.1:{free_low_port()}"}
    gate = new_gate(open_folder, origin.address, listeners=[entry], process={"drain_seconds": 0})
    fill(gate)
    if os.getuid() != 0:  # whoever is not root can't hand on a capability, and has none
        assert str(entry["address"]) in refused(gate)
        return
    own(open_folder, "nobody")
    without = subprocess.run(
        [*as_nobody(), GATE, "serve", "--config", str(gate.config)], capture_output=True, text=True
    )
    assert without.returncode == 2
    assert str(entry["address"]) in without.stderr
    gate.through = as_nobody("net_bind_service")
    gate.start()
    try:
        assert gate.process is not None
        for pid in (gate.process.pid, *gate.children()):
            fields = status_fields(pid)
            assert fields["Uid"].split() == [str(pwd.getpwnam("nobody").pw_uid)] * 4
            assert fields["NoNewPrivs"] == "1"
            assert int(fields["CapEff"], 16) == 1 << NET_BIND_SERVICE
        assert status_of(gate, "example.com") == 200
    finally:
        assert gate.stop() == 0


def test_the_control_socket_is_for_the_gates_user_only(gate: Gate) -> None:
    mode = (gate.directory / "control.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
