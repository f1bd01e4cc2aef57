"""The bench itself: folder, upstreams, lists, and the servers that are running."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from . import dataset, envoy, floor, gate, haproxy, nginx, origin
from .hello import Answer, client_hello
from .http_load import HttpResult, request, run_wrk, write_requests
from .process import LOAD_CORE, SERVER_CORE, BenchError, free_ports
from .servers import FLOOR, Running, Setup, Starter, Variant
from .visits import Latencies, Outcome, Plan, Visit, write_visits

STARTERS: dict[str, Starter] = {
    "gate": gate.start,
    "haproxy": haproxy.start,
    "nginx": nginx.start,
    "envoy": envoy.start,
    FLOOR: floor.start,
}
DIRECT = "direct"
HOSTS = 20_000
TURNS = 50_000


@dataclass(slots=True)
class Sample:
    """One run of one workload against one server.

    `units` were done in `seconds` at the price of `cpu` seconds of the server's processes, of
    which the traffic workers had `worker_cpu`. `extra` holds whatever else was seen.
    """

    units: float
    cpu: float
    worker_cpu: float
    seconds: float
    extra: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Bench:
    """All that the workloads share."""

    folder: Path
    scale: float
    origins: origin.Origins
    names: list[str]
    listed: list[str]
    filed: list[str]
    unfiled: list[str]
    workers: int = 1
    concurrency: int = 64
    settings: str = ""
    """More of the gate's settings, as YAML."""
    beside_clients: Callable[[], AbstractContextManager[None]] = nullcontext
    """Within it, what is started is where the clients are."""
    _running: dict[tuple[str, Variant], Running] = field(default_factory=dict)

    @staticmethod
    def open(folder: Path, *, size: int, scale: float, workers: int, settings: str = "") -> Bench:
        """Start the upstreams and make the lists. Raises BenchError or DatasetMissing."""
        names = dataset.real_names()
        listed = dataset.allowlist(size, names)
        return Bench(
            folder,
            scale,
            origin.start(folder),
            names,
            listed,
            dataset.filed_hosts(HOSTS, listed),
            dataset.unfiled_hosts(HOSTS, listed),
            workers,
            settings=settings,
        )

    def server(self, name: str, variant: Variant = Variant.KEEP) -> Running:
        """The running server of that name and variant, started when first asked for."""
        key = (name, variant)
        if key not in self._running:
            self._running[key] = self.start(name, variant, self.listed)
        return self._running[key]

    def admit(self, running: Running) -> None:
        """Have a server take part that was started elsewhere."""
        self._running[running.name, running.setup.variant] = running

    def start(self, name: str, variant: Variant, listed: list[str], settings: str = "") -> Running:
        """Start a server of its own with the given list; `settings` are more of the gate's."""
        sink = variant is Variant.SINK
        upstream = self.origins.sink_port if sink else self.origins.http_port
        ports = free_ports(5)
        folder = self.folder / f"{name}-{variant}-{len(listed)}-{ports[0]}"
        folder.mkdir(exist_ok=True)
        names = folder / "names.txt"
        names.write_text("\n".join(listed) + "\n", encoding="ascii")
        setup = Setup(
            folder, names, len(listed), variant, self.workers, ports[0], ports[1],
            (ports[2], ports[3], ports[4]), upstream, self.origins.tls_port,
            frozenset({SERVER_CORE} if self.workers == 1 else {SERVER_CORE, LOAD_CORE}),
            settings=self.settings + settings,
        )  # fmt: skip
        if name == DIRECT:
            from dataclasses import replace

            direct = replace(setup, http_port=upstream, tls_port=self.origins.tls_port)
            return Running(DIRECT, direct, None, 0.0)
        return STARTERS[name](setup)

    def retire(self, keep: Variant | None = None) -> None:
        """Stop the running servers, but for those of one variant."""
        for key in [k for k in self._running if k[1] is not keep]:
            self._running.pop(key).stop()

    def close(self) -> None:
        """Stop everything."""
        self.retire()
        self.origins.stop()

    # -- traffic, made once for each workload and kept in files --

    def visits(self, label: str, make: list[Visit] | None = None) -> Path:
        """The stored visits of that label; `make` stores them first."""
        path = self.folder / f"{label}.visits"
        return path if make is None else write_visits(path, make)

    def requests(self, label: str, make: list[bytes] | None = None) -> Path:
        """The stored requests of that label; `make` stores them first."""
        path = self.folder / f"{label}.requests"
        return path if make is None else write_requests(path, make)

    def run_visits(self, running: Running, visits: Path, count: int, rate: float = 0.0) -> Outcome:
        """Run visits against a server in a generator process on the load's core."""
        plan = Plan(
            running.setup.tls_port,
            running.setup.http_port,
            visits,
            max(1, count),
            self.concurrency,
            rate,
            running.setup.place.dialled,
        )
        plan_path, result = self.folder / "plan", self.folder / "outcome"
        plan_path.write_bytes(pickle.dumps(plan))
        self._generate("load", str(plan_path), str(result))
        outcome = pickle.loads(result.read_bytes())
        assert isinstance(outcome, Outcome)
        if outcome.failed:
            raise BenchError(f"{running.name}: {outcome.failures} of {count} visits")
        return outcome

    def run_paced(self, running: Running, requests: Path, rate: float, seconds: float) -> Latencies:
        """Send requests at a rate in a generator process on the load's core."""
        result = self.folder / "latencies"
        arguments = (running.setup.http_port, requests, rate, seconds, self.concurrency, result)
        self._generate("paced", *map(str, arguments))
        found = pickle.loads(result.read_bytes())
        assert isinstance(found, Latencies)
        if found.failures:
            raise BenchError(f"{running.name}: {found.failures} requests failed")
        return found

    def _generate(self, module: str, *arguments: str) -> None:
        command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m"]
        command += [f"benchmarks.side_by_side.{module}", *arguments]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if run.returncode:
            raise BenchError(f"{module} failed: {run.stderr.strip()[-500:]}")

    def run_http(self, running: Running, requests: Path, seconds: float) -> HttpResult:
        """Run wrk against a server. Raises BenchError when one answer was an error."""
        result = run_wrk(
            running.setup.place.dialled,
            running.setup.http_port,
            requests,
            connections=self.concurrency,
            seconds=seconds * self.scale,
            script=self.folder / "wrk.lua",
        )
        if result.errors:
            raise BenchError(f"{running.name}: {result.errors} in {result.requests} requests")
        return result

    def skewed_hellos(self, hosts: list[str], answer: Answer, size: int) -> list[tuple[str, bytes]]:
        """Hosts with Zipf's skew, each with its hello (one object for each host)."""
        hellos: dict[str, bytes] = {}
        drawn = dataset.skewed(hosts, TURNS)
        for host in drawn:
            if host not in hellos:
                hellos[host] = client_hello(host, answer, size)
        return [(host, hellos[host]) for host in drawn]

    def skewed_requests(
        self, hosts: list[str], path: str = "", *, close: bool = False
    ) -> list[bytes]:
        """Requests to hosts with Zipf's skew (one object for each host)."""
        made: dict[str, bytes] = {}
        drawn = dataset.skewed(hosts, TURNS)
        for host in drawn:
            if host not in made:
                made[host] = request(host, path or "/index.html?v=20240601", close=close)
        return [made[host] for host in drawn]
