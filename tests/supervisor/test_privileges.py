"""The processes give up their privileges."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import subprocess
from pathlib import Path

from tests.harness.gate_process import GATE, Gate, listener
from tests.harness.http_origin import HttpOrigin
from tests.supervisor.running import (
    fill,
    new_gate,
    refused,
    status_of,
)

LOW_PORTS = range(600, 1024)
CAP_NET_BIND_SERVICE = 10  # <linux/capability.h>
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")


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


def test_one_capability_is_all_that_a_low_port_takes(open_folder: Path, origin: HttpOrigin) -> None:
    """As the systemd unit starts it: not root, with CAP_NET_BIND_SERVICE and nothing else."""
    low = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    assert int(low.read_text()) > LOW_PORTS.start, f"{low} lets anybody bind low ports"
    entry = listener("http", "http") | {"address": f"127.0.0.1:{free_low_port()}"}
    gate = new_gate(open_folder, origin.address, listeners=[entry], process={"drain_seconds": 0})
    fill(gate)
    if os.getuid() != 0:  # whoever is not root can't hand on a capability, and has none
        assert str(entry["address"]) in refused(gate)
        return
    nobody = pwd.getpwnam("nobody")
    for folder, _, files in os.walk(open_folder):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    without = subprocess.run(
        [*AS_NOBODY, GATE, "serve", "--config", str(gate.config)], capture_output=True, text=True
    )
    assert without.returncode == 2
    assert str(entry["address"]) in without.stderr
    gate.through = (*AS_NOBODY, "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service")
    gate.start()
    try:
        assert gate.process is not None
        for pid in (gate.process.pid, *gate.children()):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            assert fields["Uid"].split() == [str(nobody.pw_uid)] * 4
            assert fields["NoNewPrivs"] == "1"
            assert int(fields["CapEff"], 16) == 1 << CAP_NET_BIND_SERVICE
        assert status_of(gate, "example.com") == 200
    finally:
        assert gate.stop() == 0


def free_low_port() -> int:
    """A port below 1024 that nobody has."""
    for port in LOW_PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every low port is taken")


def test_the_control_socket_is_for_the_gates_user_only(gate: Gate) -> None:
    mode = (gate.directory / "control.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
