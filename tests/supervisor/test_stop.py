"""A stop drains within its deadline."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.harness.client import Client
from tests.harness.gate_process import Gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.running import (
    alive,
    fill,
    is_pending,
    is_refused,
    new_gate,
    status_of,
)
from tests.harness.waiting import wait_for


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_open_requests_end(
    tmp_path: Path, number: signal.Signals, origin: HttpOrigin
) -> None:
    gate = new_gate(tmp_path, origin.address)
    fill(gate)
    gate.start()
    assert gate.process is not None
    with socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
        wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
        gate.process.send_signal(number)
        wait_for(lambda: gate.ask_admin("/readyz")[0] != 200, "the gate to say that it drains")
        wait_for(lambda: is_refused(gate.ports["http"]), "new connections to be refused")
        sock.sendall(b"cd")
        with sock.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"
    assert gate.process.wait(10) == 0
    gate.process = None


def test_a_stop_serves_all_that_waited_when_it_began(tmp_path: Path, origin: HttpOrigin) -> None:
    gate = new_gate(tmp_path, origin.address, workers=1)
    fill(gate)
    gate.start()
    assert gate.process is not None
    (worker,) = gate.workers()
    os.kill(worker, signal.SIGSTOP)
    clients = []
    for _ in range(300):
        clients.append(socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=10))
        clients[-1].sendall(b"GET / HTTP/1.1\r\nHost: unfiled.com\r\n\r\n")
    gate.process.send_signal(signal.SIGTERM)
    wait_for(lambda: is_pending(worker, signal.SIGTERM), "the worker to be told")
    os.kill(worker, signal.SIGCONT)
    for sock in clients:
        assert sock.recv(100).startswith(b"HTTP/1.1 302 ")
        sock.close()
    assert gate.process.wait(10) == 0
    gate.process = None


def test_a_stop_cuts_what_is_open_at_the_deadline(tmp_path: Path, origin: HttpOrigin) -> None:
    gate = new_gate(tmp_path, origin.address, process={"drain_seconds": 0.5})
    fill(gate)
    gate.start()
    with socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
        wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
        assert gate.stop() == 0
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_second_signal_stops_at_once(tmp_path: Path, origin: HttpOrigin) -> None:
    gate = new_gate(tmp_path, origin.address, process={"drain_seconds": 3000})
    fill(gate)
    gate.start()
    assert gate.process is not None
    with socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
        wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
        gate.process.send_signal(signal.SIGTERM)
        wait_for(lambda: is_refused(gate.ports["http"]), "the drain to begin")
        gate.process.send_signal(signal.SIGTERM)
        assert gate.process.wait(10) == 1
    gate.process = None


def test_a_delay_before_the_drain_keeps_serving_while_unready(
    tmp_path: Path, origin: HttpOrigin
) -> None:
    gate = new_gate(tmp_path, origin.address, process={"drain_delay": 1.0, "drain_seconds": 1.0})
    fill(gate)
    gate.start()
    assert gate.process is not None
    gate.process.send_signal(signal.SIGTERM)
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 503, "the gate to be unready")
    assert "draining" in gate.ask_admin("/readyz")[1]
    assert status_of(gate, "example.com") == 200
    assert gate.process.wait(10) == 0
    gate.process = None


def test_a_signal_to_the_supervisors_process_group_reaches_the_supervisor_alone(gate: Gate) -> None:
    # What Ctrl-C in a terminal, and many a service manager, send: the workers must not drain
    # before the supervisor says so.
    assert [os.getpgid(pid) for pid in gate.children()] == gate.children()


@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_a_worker_that_a_reload_has_replaced_ends_with_the_gate(
    tmp_path: Path, origin: HttpOrigin, way: str
) -> None:
    """It has an hour for its open connections, until the gate itself is to end."""
    gate = new_gate(tmp_path, origin.address, process={"drain_seconds": 1})
    fill(gate)
    gate.start()
    process = gate.process
    assert process is not None
    try:
        with Client(gate.ports["http"]) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab")
            wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
            before = set(gate.children())
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(gate.children()) == 4, "all but the busy worker to end", 30)
            wait_for(lambda: len(before & set(gate.children())) == 1, "the reload", 30)
            children = gate.children()
            process.send_signal(signal.SIGTERM if way == "stopped" else signal.SIGKILL)
            assert process.wait(30) == (0 if way == "stopped" else -signal.SIGKILL)
            wait_for(lambda: not any(map(alive, children)), "all to end", 30)
    finally:
        gate.process = None
