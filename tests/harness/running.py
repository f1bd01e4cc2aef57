"""Running gates, and what the supervisor's tests ask them."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path
from typing import Any

from gate.cli.import_list import Options, take
from gate.settings import load
from tests.harness.gate_process import Gate, listener, run_gate
from tests.harness.waiting import patience


def fill(gate: Gate, text: str = "example.com\n") -> None:
    """Import a list into the gate's replica, as `gate import --yes` does; in force at the end."""
    listed = gate.directory / "list.txt"
    listed.write_text(text)
    take(load(gate.config), listed, Options(yes=True))


def new_gate(directory: Path, origin: str = "127.0.0.1:9", **settings: Any) -> Gate:
    """A gate with one http listener before `origin`; not started."""
    settings.setdefault("workers", 2)
    settings.setdefault("listeners", [listener("http", "http")])
    settings.setdefault("process", {"drain_seconds": 5})
    settings.setdefault("upstreams", {"default": {"http": [origin]}})
    return Gate(directory, settings)


def status_of(gate: Gate, host: str) -> int:
    """The status of the gate's answer to a request for `host`."""
    with socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=patience(10)) as sock:
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        with sock.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def pid_of(gate: Gate, name: str) -> int:
    """The process id of a child of a gate that is ready: control's by its port, a worker's by their
    order."""
    assert gate.process is not None
    (control,) = gate.who_listens(gate.admin)
    if name == "control":
        return control
    workers = [pid for pid in gate.children() if pid != control]
    return workers[int(name.removeprefix("worker-"))]


def restarts(gate: Gate, name: str) -> float:
    """How often a child was started again."""
    return gate.total("gate_process_restarts_total", process=name)


def log_of(gate: Gate) -> str:
    """What the gate has logged."""
    return gate.log.read_text()


def alive(pid: int) -> bool:
    """Is the process there, and no zombie?"""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def is_refused(port: int) -> bool:
    """Does nobody listen on the port?"""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=patience(5)).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def refused(gate: Gate) -> str:
    """The one line that a start ends with."""
    result = run_gate("serve", "--config", str(gate.config), check=False)
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.splitlines()
    return line


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Has a process been sent a signal that it has not taken yet?"""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (pending,) = re.findall(r"ShdPnd:\s*([0-9a-f]+)", status)
    return bool(int(pending, 16) >> (number - 1) & 1)
