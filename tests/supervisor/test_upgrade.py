"""Another program takes the place of the running one, and nobody notices."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
from pathlib import Path

import pytest

from gate.registry.client import Remote, RemoteError
from gate.registry.commands import Approve
from gate.registry.places import ACCESS_FILE
from tests.harness.client import Client
from tests.harness.gate_process import Gate, listener, run_gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.ports import free_low_port, free_port
from tests.harness.rights import require_privileged_ports
from tests.harness.running import (
    fill,
    is_pending,
    log_of,
    new_gate,
    pid_of,
    refused,
    status_of,
)
from tests.harness.waiting import wait_for
from tests.registry.filings import first_filing
from tests.supervisor.users import (
    DAC_READ_SEARCH,
    NET_BIND_SERVICE,
    as_nobody,
    can_run,
    own,
    status_fields,
)

pytestmark = pytest.mark.usefixtures("executed")  # the same program is executed again


def upgraded(gate: Gate) -> int:
    """How often another program has taken over and is ready."""
    _, _, rest = log_of(gate).partition("upgraded:")
    return rest.count("ready:")


def upgrade(gate: Gate) -> None:
    """Upgrade and wait until the new program's workers alone take connections."""
    before = set(gate.workers())
    count = upgraded(gate)
    result = run_gate("upgrade", "--config", str(gate.config))
    assert gate.process is not None
    assert f"process {gate.process.pid};" in result.stdout
    wait_for(lambda: upgraded(gate) == count + 1, "the new program", 30)
    wait_for(lambda: not before & set(gate.workers()), "the old workers to take no more", 20)
    assert len(gate.workers()) == gate.settings["workers"]
    assert gate.process.poll() is None


def test_an_upgrade_keeps_the_process_the_ports_and_the_counters(gate: Gate) -> None:
    assert gate.process is not None
    for _ in range(20):
        status_of(gate, "example.com")
    os.kill(gate.workers()[0], signal.SIGKILL)
    wait_for(lambda: gate.total("gate_process_restarts_total") == 1, "the restart")
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready again")
    decided = gate.decisions(reason="filed")
    before = set(gate.children())
    upgrade(gate)
    wait_for(lambda: not before & set(gate.children()), "the old processes to end")
    assert gate.process.poll() is None
    assert len(gate.children()) == 3
    assert [status_of(gate, host) for host in ("example.com", "a.org")] == [200, 302]
    assert gate.decisions(reason="filed") == decided + 1
    assert gate.total("gate_process_restarts_total") == 1


def test_the_state_folder_stays_locked_through_an_upgrade(gate: Gate) -> None:
    upgrade(gate)
    result = run_gate("serve", "--config", str(gate.config), check=False)
    assert result.returncode == 2
    assert gate.process is not None
    assert f"belongs to the gate that runs as process {gate.process.pid}" in result.stderr


def test_signals_in_the_middle_of_an_upgrade_are_obeyed_after_it(gate: Gate) -> None:
    assert gate.process is not None
    wait_for(lambda: "ready:" in log_of(gate), "the line on the start")
    control = pid_of(gate, "control")
    os.kill(control, signal.SIGSTOP)  # the upgrade waits for its end
    gate.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: is_pending(control, signal.SIGTERM), "the upgrade to begin", 30)
    gate.process.send_signal(signal.SIGHUP)
    gate.process.send_signal(signal.SIGUSR2)
    os.kill(control, signal.SIGCONT)
    wait_for(lambda: log_of(gate).count("upgraded:") == 2, "both upgrades", 40)
    wait_for(lambda: log_of(gate).count("reloaded") == 1, "the reload", 30)
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready", 30)
    fill(gate, "example.net\n")
    assert status_of(gate, "example.net") == 200


def test_open_requests_end_in_their_old_worker(gate: Gate) -> None:
    with socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
        wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
        before = set(gate.children())
        upgrade(gate)
        wait_for(lambda: len(gate.children()) == 4, "all but the busy worker to retire")
        sock.sendall(b"cd")
        with sock.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"
    wait_for(lambda: not before & set(gate.children()), "the old worker to end")


def test_a_new_set_is_in_force_in_the_old_workers_too(gate: Gate) -> None:
    with Client(gate.ports["http"]) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
        wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
        upgrade(gate)
        wait_for(lambda: len(gate.children()) == 4, "all but the busy worker to retire")
        fill(gate, "example.net\n")  # returns when it is in force everywhere
        client.expect_closed()
    assert [status_of(gate, host) for host in ("example.com", "example.net")] == [302, 200]


@pytest.mark.parametrize("settings", ["workers: many\n", "listeners: [\n"])
def test_an_upgrade_to_bad_settings_is_refused(gate: Gate, settings: str) -> None:
    assert gate.process is not None
    before = gate.children()
    gate.config.write_text(settings)
    gate.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "upgrade refused:" in log_of(gate), "the refusal", 20)
    assert gate.children() == before
    assert status_of(gate, "example.com") == 200


def test_an_upgrade_to_a_program_that_does_not_load_is_refused(
    tmp_path: Path, origin: HttpOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = new_gate(tmp_path, origin.address)
    fill(gate)
    library = tmp_path / "library"
    library.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(library))
    gate.start()
    try:
        before = gate.children()
        (library / "lmdb.py").write_text("raise ImportError('half an installation')\n")
        assert gate.process is not None
        gate.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: "upgrade refused:" in log_of(gate), "the refusal", 20)
        assert "half an installation" in log_of(gate)
        assert gate.children() == before
        assert status_of(gate, "example.com") == 200
    finally:
        assert gate.stop() == 0


def test_the_registry_inside_goes_on_at_its_place(tmp_path: Path, origin: HttpOrigin) -> None:
    listen = f"127.0.0.1:{free_port()}"
    gate = new_gate(
        tmp_path, origin.address, sync={"registry": "embedded"}, registry={"listen": listen}
    )
    gate.start()
    try:
        file_a_domain(gate, "before.com")
        wait_for(lambda: status_of(gate, "before.com") == 200, "the first filing to be in force")
        access = (tmp_path / "registry" / ACCESS_FILE).read_text()
        upgrade(gate)
        file_a_domain(gate, "after.com")
        wait_for(lambda: status_of(gate, "after.com") == 200, "the second one to be in force", 20)
        assert status_of(gate, "before.com") == 200
        assert (tmp_path / "registry" / ACCESS_FILE).read_text() == access
        assert listen in access
    finally:
        assert gate.stop() == 0


def file_a_domain(gate: Gate, domain: str) -> None:
    """File it in the embedded registry, as soon as that answers, and have it approved."""
    access = json.loads((gate.directory / "registry" / ACCESS_FILE).read_text())
    registry = Remote(access["url"], access["token"])

    def approved() -> bool:
        try:
            outcome = registry.perform(first_filing(domain, account=domain, name=domain))
            registry.perform(Approve(application=outcome.application or 0, generate=True))
        except RemoteError as error:
            if error.code:
                raise
            return False  # it is being started
        return True

    wait_for(approved, f"{domain} to be filed", 20)


def test_a_gate_that_gave_up_its_privileges_is_upgraded_as_who_it_is(
    open_folder: Path, origin: HttpOrigin
) -> None:
    name = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    process = {"user": name, "drain_seconds": 5}
    gate = new_gate(open_folder, origin.address, process=process)
    fill(gate)
    gate.start()
    try:
        assert gate.process is not None
        (open_folder / "audit.jsonl.1").touch()  # root's, where root runs this
        if can_run(name):
            upgrade(gate)
            wait_for(lambda: len(gate.children()) == 3, "the old processes to end")
        else:  # a program that root alone can read is no program of this user's
            gate.process.send_signal(signal.SIGUSR2)
            wait_for(lambda: "upgrade refused:" in log_of(gate), "the refusal", 20)
            assert "Permission denied" in log_of(gate)
        for pid in (gate.process.pid, *gate.children()):
            assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam(name).pw_uid
        assert [status_of(gate, host) for host in ("example.com", "a.org")] == [200, 302]
    finally:
        assert gate.stop() == 0


def test_a_gate_with_a_low_port_and_one_capability_is_upgraded(
    open_folder: Path, origin: HttpOrigin
) -> None:
    """`process.user` is whom it runs as already, as under systemd."""
    require_privileged_ports()
    entry = listener("http", "http") | {"address": f"127.0.0.1:{free_low_port()}"}
    process = {"user": "nobody", "drain_seconds": 5}
    gate = new_gate(open_folder, origin.address, listeners=[entry], process=process)
    fill(gate)
    if os.getuid() != 0:  # whoever is not root can't hand on a capability, and has none
        assert str(entry["address"]) in refused(gate)
        return
    capabilities = {"net_bind_service": NET_BIND_SERVICE}
    if not can_run("nobody"):  # its program is root's alone: it may read that, and no more
        capabilities["dac_read_search"] = DAC_READ_SEARCH
    own(open_folder, "nobody")
    gate.through = as_nobody(*capabilities)
    gate.start()
    try:
        assert gate.process is not None
        before = set(gate.children())
        (open_folder / "audit.jsonl.1").touch()  # root's, from rotating the audit log
        upgrade(gate)
        wait_for(lambda: not before & set(gate.children()), "the old processes to end")
        for pid in (gate.process.pid, *gate.children()):
            fields = status_fields(pid)
            assert fields["Uid"].split() == [str(pwd.getpwnam("nobody").pw_uid)] * 4
            assert fields["NoNewPrivs"] == "1"
            assert int(fields["CapEff"], 16) == sum(1 << bit for bit in capabilities.values())
        assert [status_of(gate, host) for host in ("example.com", "a.org")] == [200, 302]
        fill(gate, "example.net\n")
        assert [status_of(gate, host) for host in ("example.com", "example.net")] == [302, 200]
    finally:
        assert gate.stop() == 0


def test_there_must_be_a_gate_to_upgrade(tmp_path: Path) -> None:
    gate = new_gate(tmp_path)
    result = run_gate("upgrade", "--config", str(gate.config), check=False)
    assert result.returncode == 2
    assert f"no gate runs in state_dir {tmp_path}" in result.stderr


def test_the_registry_inside_keeps_its_port_through_an_upgrade(tmp_path: Path) -> None:
    port = free_port()
    gate = new_gate(
        tmp_path, sync={"registry": "embedded"}, registry={"listen": f"127.0.0.1:{port}"}
    ).start()
    try:
        with Client(gate.ports["http"]) as client:  # keeps an old worker alive
            client.send(b"POST / HTTP/1.1\r\nHost: a.cn\r\n")
            wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
            upgrade(gate)
            wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready", 20)
            assert gate.who_listens(port), "only the registry holds its socket"
            assert not set(gate.who_listens(port)) & set(gate.workers())
            wait_for(
                lambda: gate.total("gate_sync_connected", channel="pull") == 1,
                "the sync with the registry",
                20,
            )
    finally:
        assert gate.stop() == 0
