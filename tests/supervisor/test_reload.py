"""A reload changes settings without dropping a connection."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any

import yaml

from tests.harness.gate_process import Gate
from tests.harness.ports import free_port
from tests.harness.waiting import wait_for
from tests.supervisor.running import (
    fill,
    log_of,
    pid_of,
    restarts,
    status_of,
)


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
    assert reloads(gate, "done") == 1
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
