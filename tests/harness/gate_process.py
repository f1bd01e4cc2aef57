"""The real program: `gate serve` in its own process, on free ports, in its own directory."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import planes, prefork
from tests.harness.planes import Plane
from tests.harness.ports import free_port
from tests.harness.prefork import Loaded
from tests.harness.waiting import patience, wait_for

GATE = str(Path(sys.executable).parent / "gate")
_TICKS = os.sysconf("SC_CLK_TCK")


def listener(name: str, kind: str, host: str = "127.0.0.1", **more: Any) -> dict[str, Any]:
    """One entry of `listeners`, on a free port."""
    shown = f"[{host}]" if ":" in host else host
    return {"name": name, "kind": kind, "address": f"{shown}:{free_port()}", **more}


def run_gate(
    *arguments: str,
    check: bool = True,
    stdin: str | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a `gate` command to its end, in our environment if no other is given."""
    command = [GATE, *arguments]
    if prefork.is_executed():
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=check,
            timeout=patience(60),
            input=stdin,
            env=environment,
        )
    registry = arguments[:1] == ("registry",)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as given,
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
    ):
        given.write(stdin or "")
        given.seek(0)
        copy = prefork.start(
            command,
            Loaded.REGISTRY if registry else Loaded.GATE,
            stdin=given,
            output=output,
            errors=errors,
            environment=environment,
        )
        try:
            copy.wait(patience(60))
        except subprocess.TimeoutExpired:
            copy.kill()
            raise
        for file in (output, errors):
            file.seek(0)
        done = subprocess.CompletedProcess(command, copy.wait(), output.read(), errors.read())
    if check:
        done.check_returncode()
    return done


@dataclass(slots=True, frozen=True)
class Usage:
    """What one process has used: resident bytes now and at most, CPU seconds, descriptors."""

    rss: int
    peak: int
    cpu: float
    descriptors: int


def usage(pid: int) -> Usage:
    """Read it from /proc."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    rss, peak = (int(status[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
    cpu = (int(stat[11]) + int(stat[12])) / _TICKS
    return Usage(rss, peak, cpu, len(os.listdir(f"/proc/{pid}/fd")))


@dataclass(slots=True)
class Gate:
    """A gate with `settings` (as in its YAML file) that keeps its state in `directory`."""

    directory: Path
    settings: dict[str, Any]
    descriptors: int | None = None
    patience: float = 20.0
    """Seconds that a start may take."""
    through: tuple[str, ...] = ()
    """A program that becomes the gate, with what goes before the gate's own words."""
    plane: Plane = field(default_factory=planes.default)
    """Which data plane its workers have."""
    process: subprocess.Popen[bytes] | prefork.Copy | None = None
    ports: dict[str, int] = field(default_factory=dict)
    admin: int = 0

    def __post_init__(self) -> None:
        self.settings.setdefault("state_dir", str(self.directory))
        self.settings.setdefault("admin", {"listen": f"127.0.0.1:{free_port()}"})
        # A gate without a registry, unless the test is about one.
        self.settings.setdefault("sync", {"registry": "none"})
        # Most tests begin with a registry that has no filing yet.
        self.settings["sync"].setdefault("allow_empty", True)
        self.settings.setdefault("notice", {})
        self.settings["notice"].setdefault("listen", f"127.0.0.1:{free_port()}")
        self.settings["notice"].setdefault(
            "url", f"http://{self.settings['notice']['listen']}/notice"
        )
        for entry in self.settings["listeners"]:
            self.ports[entry["name"]] = int(entry["address"].rpartition(":")[2])
        self.admin = int(self.settings["admin"]["listen"].rpartition(":")[2])
        self.config.write_text(yaml.safe_dump(self.settings, allow_unicode=True))

    @property
    def config(self) -> Path:
        return self.directory / "gate.yaml"

    @property
    def log(self) -> Path:
        return self.directory / "gate.log"

    @property
    def notice_url(self) -> str:
        return str(self.settings["notice"]["url"])

    def start(self) -> Gate:
        """Start the program and return when it says that it is ready."""
        return self.start_until(lambda: self.readiness() == 200, "the gate to be ready")

    def start_unready(self) -> Gate:
        """Start the program and return when it says that it is not ready."""
        return self.start_until(lambda: self.readiness() == 503, "the admin port")

    def launch(self, pass_fds: Sequence[int] = ()) -> Gate:
        """Start the program, with descriptors of ours if it is to have some; waits for nothing."""
        command = [*self.through, GATE, "serve", "--config", str(self.config)]
        environment = os.environ | self.plane.environment
        limit = self.descriptors

        def lower_limit() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        with self.log.open("ab") as log:
            if self.through or pass_fds or prefork.is_executed():
                self.process = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    pass_fds=pass_fds,
                    preexec_fn=lower_limit if limit is not None else None,
                    env=environment,
                )
            else:
                self.process = prefork.start(
                    command,
                    self._loaded,
                    output=log,
                    errors=log,
                    environment=environment,
                    open_files=limit,
                )
        return self

    @property
    def _loaded(self) -> Loaded:
        """What a gate of these settings loads."""
        inside = self.settings["sync"].get("registry", "embedded") == "embedded"
        return Loaded.REGISTRY if inside else Loaded.GATE

    def start_until(self, condition: Callable[[], bool], what: str) -> Gate:
        """Start the program and return when the condition is true."""
        self.launch()
        try:
            wait_for(condition, f"{what}; its log is {self.log}", self.patience)
        except BaseException:
            self.stop()  # whoever asked for a running gate will not stop this one
            raise
        return self

    def readiness(self) -> int:
        """The status of /readyz, 0 while nothing listens there; fails if the program has ended."""
        assert self.process is not None
        status = self.process.poll()
        assert status is None, f"gate ended with {status}: {self.log.read_text()[-2000:]}"
        return self.ask_admin("/readyz")[0]

    def ask_admin(self, path: str) -> tuple[int, str]:
        """GET from the admin listener; status 0 where nothing listens."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.admin}{path}", timeout=patience(5)
            ) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def total(self, metric: str, **labels: str) -> float:
        """The sum of all samples of `metric` whose labels include `labels`."""
        status, text = self.ask_admin("/metrics")
        assert status == 200, f"/metrics answered {status}"
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == metric and _has(sample.labels, labels)
        )

    def by_label(self, metric: str, label: str, **labels: str) -> dict[str, float]:
        """The samples of `metric` whose labels include `labels`, summed by one label's value."""
        status, text = self.ask_admin("/metrics")
        assert status == 200, f"/metrics answered {status}"
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == metric and _has(sample.labels, labels):
                    value = sample.labels[label]
                    found[value] = found.get(value, 0) + sample.value
        return found

    def decisions(self, **labels: str) -> float:
        """How many decisions there were, by listener, scheme, outcome or reason."""
        return self.total("gate_decisions_total", **labels)

    def workers(self) -> list[int]:
        """Process ids of the data-plane workers: the children that hold its listening sockets."""
        sockets = _listening(set(self.ports.values()))
        return [pid for pid in self.children() if not sockets.isdisjoint(_descriptors(pid))]

    def who_listens(self, port: int) -> list[int]:
        """Process ids of the children that hold the listening socket of a port."""
        sockets = _listening({port})
        return [pid for pid in self.children() if not sockets.isdisjoint(_descriptors(pid))]

    def stop(self) -> int:
        """End the program by SIGTERM; SIGKILL for the whole family when it does not obey."""
        if self.process is None:
            return 0
        family = [self.process.pid, *self.children()]
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience(15))
        except subprocess.TimeoutExpired:
            for pid in family:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.wait(5)
            raise AssertionError(
                f"the gate did not end within 15 s of SIGTERM: {self.log}"
            ) from None
        finally:
            self.process = None

    def children(self) -> list[int]:
        """Process ids of the control process and the workers; none when the gate has ended."""
        assert self.process is not None
        pid = self.process.pid
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return []
        return [int(child) for child in text.split()]


def _listening(ports: set[int]) -> set[str]:
    """The sockets that clients come to on `ports`, as /proc/PID/fd shows them."""
    found = set()
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and int(fields[1].rpartition(":")[2], 16) in ports:
                found.add(f"socket:[{fields[9]}]")
    return found


def _descriptors(pid: int) -> set[str]:
    folder = Path(f"/proc/{pid}/fd")
    names = set()
    for number in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            names.add(os.readlink(folder / number))
    return names


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in wanted.items())
