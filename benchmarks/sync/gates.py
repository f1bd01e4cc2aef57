"""The real gate in a process of its own, as the sync's benchmarks need it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from benchmarks.side_by_side.process import cpu_seconds, waited_cpu_seconds

_GATE = str(Path(sys.executable).parent / "gate")
_WAIT_SECONDS = 900


def free_port() -> int:
    """A TCP port of loopback that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def first_priority() -> None:
    """Have this process, the registry, run before the gate and its load if the system lets it.

    In earnest it is another machine, and does not wait for the gate's cores.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def usual_priority() -> None:
    """Undo `first_priority` in a child."""
    os.setpriority(os.PRIO_PROCESS, 0, 0)


class GateProcess:
    """`gate serve` with two workers, in `folder`."""

    def __init__(
        self,
        folder: Path,
        sync: dict[str, Any],
        origin: str,
        registry: str | None = None,
        upstreams: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """`registry` is where the one inside listens, if there is one; `upstreams` are settings."""
        folder.mkdir(parents=True, exist_ok=True)
        self.http, self.admin = free_port(), free_port()
        self._log = folder / "gate.log"
        self.config = folder / "gate.yaml"
        self.config.write_text(
            yaml.safe_dump(
                {
                    "state_dir": str(folder),
                    "workers": 2,
                    "listeners": [
                        {"name": "http", "kind": "http", "address": f"127.0.0.1:{self.http}"}
                    ],
                    "upstreams": {"default": {"http": [origin]}, **upstreams},
                    "admin": {"listen": f"127.0.0.1:{self.admin}"},
                    "notice": {"listen": None, "url": "http://127.0.0.1/"},
                    "process": {"drain_seconds": 0},
                    "sync": sync,
                    "registry": {"listen": registry} if registry else {},
                }
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[float]:
        """Start it; gives the time (`time.perf_counter`) of the start."""
        began = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [_GATE, "serve", "--config", str(self.config)],
                stdout=log,
                stderr=log,
                preexec_fn=usual_priority,
            )
        try:
            yield began
        finally:
            self._process.terminate()
            self._process.wait(60)

    def wait_ready(self) -> None:
        """Return when it takes traffic."""
        self._wait(lambda: self._get("/readyz") is not None, 0.01)

    def wait_enforced(self, revision: int) -> None:
        """Return when a revision is in force in every worker."""
        # Seldom: the process that is measured answers, and works out all figures for it.
        self._wait(lambda: self.figure("gate_sync_enforced_revision") >= revision, 0.1)

    def figure(self, name: str) -> float:
        """One unlabelled figure; -1 if it can't be had."""
        found = re.search(rf"^{name} (\S+)$", self._get("/metrics") or "", re.MULTILINE)
        return float(found[1]) if found else -1.0

    def log_text(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    def cpu_seconds(self) -> float:
        """User and system time of all its processes, also of those that have ended."""
        if self._process is None:
            return 0.0
        own = self._process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        living = sum(map(cpu_seconds, [own, *map(int, children)]))
        return living + waited_cpu_seconds(own)

    def workers(self) -> list[int]:
        """The process ids of the workers that serve."""
        status = json.loads(self._get("/v1/status") or "{}")
        found = status.get("processes", ())
        return [process["pid"] for process in found if process["name"].startswith("worker-")]

    def seconds_logged(self, pattern: str) -> float:
        """A number of seconds in the newest log line that matches."""
        return float(re.findall(pattern, self._log.read_text())[-1])

    def _wait(self, condition: Callable[[], bool], pause: float) -> None:
        end = time.monotonic() + _WAIT_SECONDS
        while not condition():
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"the gate ended; its log is {self._log}")
            if time.monotonic() > end:
                raise TimeoutError(f"the gate's log is {self._log}")
            time.sleep(pause)

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.admin}{path}", timeout=5
            ) as answer:
                return str(answer.read().decode())
        except OSError:
            return None
