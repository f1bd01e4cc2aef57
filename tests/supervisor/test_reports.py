"""What the gate tells systemd and Prometheus."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.harness.gate_process import Gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.running import (
    fill,
    new_gate,
    pid_of,
    status_of,
)
from tests.harness.tools import require
from tests.harness.waiting import wait_for


def test_systemd_is_told_ready_watchdog_reload_and_stop(
    tmp_path: Path, origin: HttpOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(0.01)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")

        def hears(state: str) -> bool:
            try:
                while True:
                    told.extend(sock.recv(4096).decode().splitlines())
            except TimeoutError:
                return state in told

        gate = new_gate(tmp_path, origin.address)
        fill(gate)
        assert not hears("READY=1")
        gate.start()
        try:
            assert gate.process is not None
            wait_for(lambda: hears("READY=1"), "READY=1")
            wait_for(lambda: hears("WATCHDOG=1"), "WATCHDOG=1")
            told.clear()
            gate.process.send_signal(signal.SIGHUP)
            wait_for(lambda: hears("RELOADING=1"), "RELOADING=1")
            wait_for(lambda: hears("READY=1"), "READY=1 after the reload")
        finally:
            assert gate.stop() == 0
        assert hears("STOPPING=1")


@pytest.mark.long
def test_the_watchdog_speaks_for_every_process(
    tmp_path: Path, origin: HttpOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `hang_seconds: 0` nobody else looks after a process that hangs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "4000000")
        gate = new_gate(tmp_path, origin.address, process={"hang_seconds": 0, "drain_seconds": 0})
        fill(gate)
        gate.start()
        control = pid_of(gate, "control")
        try:
            wait_for(lambda: "WATCHDOG=1" in heard(sock, 3), "WATCHDOG=1")
            os.kill(control, signal.SIGSTOP)
            wait_for(lambda: "WATCHDOG=1" not in heard(sock, 5), "the watchdog to be silent", 60)
            os.kill(control, signal.SIGCONT)
            wait_for(lambda: "WATCHDOG=1" in heard(sock, 5), "WATCHDOG=1 again", 30)
        finally:
            os.kill(control, signal.SIGCONT)
            assert gate.stop() == 0


def heard(sock: socket.socket, seconds: float) -> list[str]:
    """What comes within so many seconds."""
    told: list[str] = []
    end = time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            told += sock.recv(4096).decode().splitlines()
    return told


def test_the_metrics_are_as_promtool_wants_them(gate: Gate) -> None:
    status_of(gate, "example.com")
    status_of(gate, "example.org")
    url = f"http://127.0.0.1:{gate.admin}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read()
    promtool = require("promtool")
    result = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, timeout=30
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_openmetrics_is_given_to_who_asks_for_it(gate: Gate) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{gate.admin}/metrics",
        headers={"Accept": "application/openmetrics-text; version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")
