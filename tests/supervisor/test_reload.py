"""A reload changes settings without dropping a connection."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.client import Client
from tests.harness.gate_process import Gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.operating import command
from tests.harness.ports import free_port
from tests.harness.running import (
    fill,
    is_pending,
    log_of,
    new_gate,
    pid_of,
    restarts,
    status_of,
)
from tests.harness.waiting import wait_for


def rewrite(gate: Gate, **changes: Any) -> None:
    gate.settings.update(changes)
    gate.config.write_text(yaml.safe_dump(gate.settings))


def reloads(gate: Gate, result: str) -> float:
    return gate.total("gate_reloads_total", result=result)


def test_a_reload_puts_new_settings_in_force_without_a_refused_request(gate: Gate) -> None:
    assert gate.process is not None
    stop = threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            statuses.append(status_of(gate, "example.org"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        entry = gate.settings["listeners"][0] | {"mode": "monitor"}
        rewrite(gate, listeners=[entry])
        gate.process.send_signal(signal.SIGHUP)
        wait_for(
            lambda: [status_of(gate, "example.org") for _ in range(20)] == [200] * 20,
            "monitor mode in every worker",
        )
    finally:
        stop.set()
        asking.join(10)
    assert set(statuses) == {200, 302}
    wait_for(lambda: reloads(gate, "done") == 1, "the reload to be done")
    assert restarts(gate, "worker-0") == restarts(gate, "control") == 0


def test_a_reload_lets_open_connections_end_in_their_old_worker(gate: Gate) -> None:
    assert gate.process is not None
    with socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
        wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
        before = set(gate.children())
        gate.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(set(gate.children()) - before) == 3, "the successors")
        wait_for(lambda: len(gate.children()) == 4, "all but the busy worker to retire")
        sock.sendall(b"cd")
        with sock.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"
    wait_for(lambda: not before & set(gate.children()), "the old worker to end")


def test_a_reload_with_an_error_changes_nothing(gate: Gate) -> None:
    assert gate.process is not None
    before = gate.children()
    gate.config.write_text("workers: many\n")
    gate.process.send_signal(signal.SIGHUP)
    wait_for(lambda: reloads(gate, "refused") == 1, "the reload to be refused")
    assert "reload refused:" in log_of(gate)
    assert "workers: must be a whole number, not 'many'" in log_of(gate)
    assert gate.children() == before
    assert status_of(gate, "example.com") == 200


def test_a_reload_names_what_needs_a_restart(gate: Gate) -> None:
    assert gate.process is not None
    rewrite(gate, workers=3, admin={"listen": f"127.0.0.1:{free_port()}"})
    gate.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reloaded" in log_of(gate), "the reload")
    for key in ("workers", "admin.listen"):
        assert f"reload: {key} changes on a restart only; the old value stays" in log_of(gate)
    gate.settings["workers"] = 2
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready")


def test_a_worker_that_two_reloads_replace_is_waited_for_no_longer_than_it_lives(
    gate: Gate,
) -> None:
    """The second one comes before the first one's workers serve, so it replaces both."""
    assert gate.process is not None
    with socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
        wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
        before = set(gate.children())
        for count in (1, 2):
            gate.process.send_signal(signal.SIGHUP)
            wait_for(lambda n=count: log_of(gate).count("reloaded") == n, "the reload", 30)  # type: ignore[misc]
        sock.sendall(b"cd")
        with sock.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"
    wait_for(lambda: not before & set(gate.children()), "the old workers to end", 30)
    fill(gate, "example.net\n")  # returns when it is in force everywhere
    assert [status_of(gate, host) for host in ("example.com", "example.net")] == [302, 200]


def test_a_control_process_that_does_not_end_is_killed_and_followed(gate: Gate) -> None:
    assert gate.process is not None
    control = pid_of(gate, "control")
    os.kill(control, signal.SIGSTOP)
    gate.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "did not end in time; killed" in log_of(gate), "the end of patience", 30)
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "its successor", 30)
    assert control not in gate.children()
    fill(gate, "example.net\n")


def test_reloaded_is_said_when_no_request_is_judged_by_the_old_settings_any_more(
    gate: Gate,
) -> None:
    for mode, status in [("monitor", 200), ("enforce", 302)] * 6:
        rewrite(gate, listeners=[gate.settings["listeners"][0] | {"mode": mode}])
        assert command(gate, "reload").stdout == "reloaded\n"
        assert [status_of(gate, "example.org") for _ in range(10)] == [status] * 10


@pytest.fixture
def stuck(tmp_path: Path, origin: HttpOrigin) -> Iterator[Gate]:
    """A gate that gives new workers two seconds to serve."""
    gate = new_gate(tmp_path, origin.address, process={"reload_seconds": 2, "drain_seconds": 1})
    fill(gate)
    gate.start()
    yield gate
    gate.stop()


def reload_with(gate: Gate, do: Callable[[list[int]], None]) -> subprocess.CompletedProcess[str]:
    """`gate reload` to monitor mode; `do` has the new workers before they can serve.

    They can't as long as the old control process does not end: only then can the new one begin.
    """
    assert gate.process is not None
    supervisor, control, before = gate.process.pid, pid_of(gate, "control"), set(gate.children())
    rewrite(gate, listeners=[gate.settings["listeners"][0] | {"mode": "monitor"}])
    with ThreadPoolExecutor(1) as pool:
        os.kill(supervisor, signal.SIGSTOP)
        reloading = pool.submit(command, gate, "reload")
        try:
            wait_for(lambda: is_pending(supervisor, signal.SIGHUP), "the reload to be asked for")
            os.kill(control, signal.SIGSTOP)
            os.kill(supervisor, signal.SIGCONT)
            wait_for(lambda: len(set(gate.children()) - before) == 2, "the new workers")
            do(sorted(set(gate.children()) - before))
        finally:
            os.kill(supervisor, signal.SIGCONT)
            os.kill(control, signal.SIGCONT)
        return reloading.result(60)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (signal.SIGSTOP, r"worker-0, worker-1 did not serve within 2 s"),
        (signal.SIGKILL, r"worker-[01] \(process \d+\) was killed by SIGKILL before all of them"),
    ],
    ids=["hanging", "dying"],
)
def test_a_reload_whose_workers_do_not_serve_is_rolled_back(
    stuck: Gate, number: signal.Signals, why: str
) -> None:
    old = stuck.workers()

    def spoil(pids: list[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # the end of one may be that of all
                os.kill(pid, number)

    with Client(stuck.ports["http"]) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
        wait_for(lambda: stuck.total("gate_connections_open") == 1, "the connection")
        done = reload_with(stuck, spoil)
        assert done.returncode == 1, done.stdout
        assert re.search(f"rolled back: {why}", done.stdout)
        client.send(b"cd")
        assert client.read_response().status == 200
    assert [status_of(stuck, "example.org") for _ in range(10)] == [302] * 10
    wait_for(lambda: stuck.workers() == old, "the new workers to be gone", 30)
    wait_for(lambda: stuck.ask_admin("/readyz")[0] == 200, "the gate to be ready")
    assert (reloads(stuck, "done"), reloads(stuck, "rolled_back")) == (0, 1)
    fill(stuck, "example.net\n")  # returns when it is in force everywhere
    assert status_of(stuck, "example.net") == 200


def test_a_reload_can_follow_one_that_was_rolled_back(stuck: Gate) -> None:
    def kill(pids: list[int]) -> None:
        os.kill(pids[0], signal.SIGKILL)

    assert reload_with(stuck, kill).returncode == 1
    done = command(stuck, "reload")
    assert (done.returncode, done.stdout) == (0, "reloaded\n")
    assert [status_of(stuck, "example.org") for _ in range(10)] == [200] * 10
    assert restarts(stuck, "worker-0") == restarts(stuck, "worker-1") == 0


def test_a_gate_that_was_never_ready_takes_the_settings_that_it_lacks(tmp_path: Path) -> None:
    gate = new_gate(tmp_path)
    gate.start_unready()
    try:
        rewrite(gate, upstreams={"default": {"http": [f"127.0.0.1:{free_port()}"]}})
        assert command(gate, "reload").stdout == "reloaded\n"
        assert gate.ask_admin("/readyz")[0] == 503
        fill(gate)

        def served() -> bool:
            with suppress(ConnectionError):  # the listeners open only when there is a set
                return status_of(gate, "example.com") == 502
            return False

        wait_for(served, "the new settings")
    finally:
        gate.stop()
