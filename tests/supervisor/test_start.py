"""The running program starts and is ready, or says in one line why it cannot."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.harness.gate_process import GATE, Gate, run_gate
from tests.harness.rights import in_own_network
from tests.harness.running import (
    fill,
    log_of,
    new_gate,
    refused,
    status_of,
)
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.usefixtures("executed")  # it is about that


def test_a_gate_starts_serves_and_stops_with_0(gate: Gate) -> None:
    assert status_of(gate, "www.example.com") == 200
    assert status_of(gate, "example.org") == 302
    assert gate.ask_admin("/healthz") == (200, '{"status": "ok"}')
    assert json.loads(gate.ask_admin("/readyz")[1]) == {"ready": True, "reasons": []}
    assert gate.total("gate_ready") == 1
    assert gate.total("gate_workers") == 2
    assert gate.stop() == 0


def test_the_workers_of_a_filled_gate_start_before_what_takes_longer_to_load(gate: Gate) -> None:
    """They are its older children, and the control process comes with all that it shares."""
    (control,) = gate.who_listens(gate.admin)
    assert gate.children() == [*gate.workers(), control]


def test_the_gate_says_what_listens_where(gate: Gate) -> None:
    wait_for(lambda: "ready: http 127.0.0.1:" in log_of(gate), "the line that says so")
    found = json.loads((gate.directory / "listening.json").read_text())
    assert found["http"] == f"127.0.0.1:{gate.ports['http']}"
    assert found["admin"] == f"127.0.0.1:{gate.admin}"


def test_a_gate_that_was_never_filled_is_not_ready_and_takes_no_traffic(tmp_path: Path) -> None:
    gate = new_gate(tmp_path)
    gate.start_unready()
    try:
        reasons = json.loads(gate.ask_admin("/readyz")[1])["reasons"]
        assert any("never been filled" in reason for reason in reasons)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=5)
        fill(gate)
        wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready")
        assert status_of(gate, "example.org") == 302
    finally:
        assert gate.stop() == 0


def test_an_import_is_in_force_in_every_worker_when_it_returns(gate: Gate) -> None:
    for _ in range(20):  # both workers have cached both verdicts
        assert (status_of(gate, "example.com"), status_of(gate, "example.org")) == (200, 302)
    fill(gate, "example.org\n")
    for _ in range(20):
        assert (status_of(gate, "example.com"), status_of(gate, "example.org")) == (302, 200)


@pytest.mark.parametrize("which", ["listener 'http'", "admin.listen", "notice.listen"])
def test_a_busy_port_is_named(tmp_path: Path, which: str) -> None:
    gate = new_gate(tmp_path)
    port = {
        "listener 'http'": gate.ports["http"],
        "admin.listen": gate.admin,
        "notice.listen": int(gate.settings["notice"]["listen"].rpartition(":")[2]),
    }[which]
    with socket.create_server(("127.0.0.1", port)):
        assert refused(gate) == (
            f"gate: {which}: 127.0.0.1:{port} is in use; stop the program that listens there "
            f"(`ss -ltnp sport = :{port}` names it) or set another port"
        )


def test_a_port_of_another_gate_is_busy_too(gate: Gate, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    second = new_gate(other, listeners=gate.settings["listeners"])
    assert f"127.0.0.1:{gate.ports['http']} is in use" in refused(second)


def test_a_state_folder_has_one_gate(gate: Gate, tmp_path: Path) -> None:
    assert gate.process is not None
    config = tmp_path / "second.yaml"
    config.write_text(yaml.safe_dump({"state_dir": str(gate.directory), "listeners": []}))
    result = run_gate("serve", "--config", str(config), check=False)
    assert result.returncode == 2
    assert f"belongs to the gate that runs as process {gate.process.pid};" in result.stderr


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    gate = new_gate(tmp_path, state_dir=str(tmp_path / "file" / "state"))
    assert refused(gate).startswith(f"gate: state_dir: {tmp_path}/file/state cannot be used: ")


def test_an_address_of_another_machine_is_named(tmp_path: Path) -> None:
    gate = new_gate(tmp_path, listeners=[{"name": "a", "kind": "http", "address": "192.0.2.1:80"}])
    assert refused(gate).startswith("gate: listener 'a': 192.0.2.1 is no address of this machine;")


def test_a_host_without_an_address_is_named(tmp_path: Path) -> None:
    entry = {"name": "a", "kind": "http", "address": "no-such-host.invalid:80"}
    line = refused(new_gate(tmp_path, listeners=[entry]))
    assert line.startswith("gate: listener 'a': 'no-such-host.invalid' has no address (")


def test_an_unknown_user_is_named(tmp_path: Path) -> None:
    gate = new_gate(tmp_path, process={"user": "no-such-user"})
    assert refused(gate) == (
        "gate: process.user: no user 'no-such-user' on this machine; "
        "make it with `useradd --system no-such-user`"
    )


def test_a_privileged_port_without_the_right_is_named(tmp_path: Path) -> None:
    """In namespaces of its own the program has no capability, and ports below 1024 need one."""
    entry = {"name": "web", "kind": "http", "address": "0.0.0.0:80"}
    gate = new_gate(tmp_path, listeners=[entry])
    result = subprocess.run(
        [*in_own_network(), GATE, "serve", "--config", str(gate.config)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (
        2,
        "gate: listener 'web': 0.0.0.0:80 needs a right that this user lacks; use a port of 1024 "
        "or more, or give the gate the capability CAP_NET_BIND_SERVICE\n",
    )
