"""A process that dies or hangs is started again, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.harness.client import Client
from tests.harness.gate_process import Gate, run_gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.ports import free_port
from tests.harness.running import (
    alive,
    fill,
    log_of,
    new_gate,
    pid_of,
    restarts,
    status_of,
)
from tests.harness.waiting import wait_for

FILINGS = Path(__file__).parent.parent.parent / "config" / "sample-filings.csv"


@pytest.mark.parametrize("name", ["worker-0", "worker-1", "control"])
def test_a_killed_process_is_started_again_and_counted(gate: Gate, name: str) -> None:
    killed = pid_of(gate, name)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: killed not in gate.children(), "it to be reaped")
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready again")
    wait_for(lambda: restarts(gate, name) == 1, "the restart to be counted")
    assert f"{name} (process {killed}) was killed by SIGKILL; starting it again" in log_of(gate)
    for _ in range(10):
        assert status_of(gate, "example.com") == 200


def test_connections_wait_for_a_killed_worker_and_none_is_refused(gate: Gate) -> None:
    for pid in (pid_of(gate, "worker-0"), pid_of(gate, "worker-1")):
        os.kill(pid, signal.SIGKILL)
    # No worker is there; the supervisor keeps the listening sockets and their queues.
    assert [status_of(gate, "example.com") for _ in range(5)] == [200] * 5


def test_counters_do_not_go_back_when_a_worker_dies(gate: Gate) -> None:
    for _ in range(20):
        status_of(gate, "example.com")
    before = gate.decisions(reason="filed")
    assert before == 20
    for pid in (pid_of(gate, "worker-0"), pid_of(gate, "worker-1")):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: restarts(gate, "worker-0") + restarts(gate, "worker-1") == 2, "both restarts")
    assert gate.decisions(reason="filed") == before
    status_of(gate, "example.com")
    assert gate.decisions(reason="filed") == before + 1


def test_counters_do_not_go_back_when_the_control_process_dies(gate: Gate) -> None:
    for _ in range(20):
        status_of(gate, "example.com")
    assert gate.decisions(reason="filed") == 20
    os.kill(pid_of(gate, "worker-0"), signal.SIGKILL)
    wait_for(lambda: restarts(gate, "worker-0") == 1, "the restart")
    assert gate.decisions(reason="filed") == 20
    os.kill(pid_of(gate, "control"), signal.SIGKILL)
    wait_for(lambda: restarts(gate, "control") == 1, "the restart")
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready again")
    assert gate.decisions(reason="filed") == 20


def test_traffic_goes_on_while_the_control_process_is_stopped(gate: Gate) -> None:
    control = pid_of(gate, "control")
    os.kill(control, signal.SIGSTOP)
    try:
        assert [status_of(gate, host) for host in ("example.com", "a.org")] == [200, 302]
    finally:
        os.kill(control, signal.SIGCONT)


@pytest.mark.parametrize("name", ["worker-0", "control", "registry"])
def test_a_process_that_hangs_is_killed_and_started_again(
    tmp_path: Path, origin: HttpOrigin, name: str
) -> None:
    gate = new_gate(
        tmp_path,
        origin.address,
        process={"hang_seconds": 2, "drain_seconds": 0},
        sync={"registry": "embedded"},
        registry={"listen": f"127.0.0.1:{free_port()}"},
    )
    database = ("--db", str(tmp_path / "registry.db"))
    run_gate("registry", "migrate", *database)
    run_gate("registry", "import", str(FILINGS), *database)
    gate.start()
    try:
        hung = process_of(gate, name)["pid"]
        os.kill(hung, signal.SIGSTOP)
        says = f"{name} (process {hung}) hangs: no sign of life for 2 s"
        wait_for(lambda: says in log_of(gate), "it to be killed")
        wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready")
        wait_for(lambda: process_of(gate, name)["restarts"] == 1, "its successor")
        wait_for(lambda: process_of(gate, name)["serving"], "it to serve")
        assert status_of(gate, "example.com") == 200
    finally:
        assert gate.stop() == 0


def test_a_supervisor_that_was_stopped_for_longer_than_it_waits_goes_on(gate: Gate) -> None:
    assert gate.process is not None
    began = time.monotonic()
    for seconds in (1.5, 3.0):  # it waits a second at most
        os.kill(gate.process.pid, signal.SIGSTOP)
        wait_for(lambda until=began + seconds: time.monotonic() > until, "time to pass")  # type: ignore[misc]
        os.kill(gate.process.pid, signal.SIGCONT)
    gate.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reloaded" in log_of(gate), "a reload")
    assert status_of(gate, "example.com") == 200


def process_of(gate: Gate, name: str) -> dict[str, Any]:
    """What the gate tells of one of its processes."""
    processes = json.loads(gate.ask_admin("/v1/status")[1])["processes"]
    return next(item for item in processes if item["name"] == name)


@pytest.mark.parametrize("replace", [signal.SIGHUP, signal.SIGUSR2], ids=["reload", "upgrade"])
def test_a_replaced_worker_that_hangs_is_killed_and_holds_up_no_change(
    tmp_path: Path, origin: HttpOrigin, replace: signal.Signals
) -> None:
    gate = new_gate(tmp_path, origin.address, process={"hang_seconds": 2, "drain_seconds": 5})
    fill(gate)
    gate.start()
    try:
        assert gate.process is not None
        with Client(gate.ports["http"]) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
            wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
            before = set(gate.children())
            gate.process.send_signal(replace)
            wait_for(lambda: len(set(gate.children()) - before) == 3, "the successors", 30)
            wait_for(lambda: len(gate.children()) == 4, "all but the busy worker to retire")
            (old,) = before & set(gate.children())
            os.kill(gate.workers()[0], signal.SIGSTOP)
            wait_for(lambda: gate.total("gate_process_restarts_total") == 1, "its restart", 20)
            assert alive(old), "it gives signs of life, and has been replaced for longer"
            os.kill(old, signal.SIGSTOP)
            fill(gate, "example.net\n")  # returns when it is in force everywhere
            assert not alive(old)
        assert f"(process {old}) hangs: no sign of life for 2 s" in log_of(gate)
        assert [status_of(gate, host) for host in ("example.com", "example.net")] == [302, 200]
        assert gate.total("gate_process_restarts_total") == 1
    finally:
        assert gate.stop() == 0


def test_all_processes_end_when_the_supervisor_is_killed(gate: Gate) -> None:
    assert gate.process is not None
    children = gate.children()
    gate.process.kill()
    gate.process.wait(5)
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() and alive(pid) for pid in children),
        "the children to end",
    )
    gate.start()  # the ports and the state folder are free again
    assert status_of(gate, "example.com") == 200


def test_a_process_that_dies_again_and_again_waits_longer_each_time(gate: Gate) -> None:
    newest = pid_of(gate, "worker-0")
    for _ in range(3):
        before = restarts(gate, "worker-0")
        os.kill(newest, signal.SIGKILL)
        wait_for(partial(is_restarted_since, gate, before), "the restart")
        newest = gate.children()[-1]
    lines = [line for line in log_of(gate).splitlines() if "worker-0" in line]
    assert [line.rpartition(" in ")[2] for line in lines] == ["0.1 s", "0.2 s", "0.4 s"]


def is_restarted_since(gate: Gate, before: float) -> bool:
    return restarts(gate, "worker-0") > before
