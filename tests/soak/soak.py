"""Mixed load with changes and faults, every verdict compared with the registry's truth.

Three kinds of clients ask a real gate, with a registry inside, for names that are filed, come and
go, or were never filed. Meanwhile filings change, and processes are killed, one after the other.
At the end nothing may have leaked, and no verdict may have been wrong.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import lmdb

from gate.registry.client import Remote, RemoteError
from gate.registry.places import ACCESS_FILE
from tests.harness.gate_process import Gate, listener, usage
from tests.harness.hello import real_hello
from tests.harness.http_origin import HttpOrigin
from tests.harness.ports import free_port
from tests.harness.recorder import Recorder, echo
from tests.harness.waiting import wait_for
from tests.soak.truth import NEVER_FILED, Truth

WORKERS = 2
FAULT_SECONDS = 6.0
# After a fault, connections may break for as long as a process takes to come back.
DISTURBED_SECONDS = 3.0
CHANGE_SECONDS = 0.5
RSS_GROWTH = 60 << 20
EXTRA_FILES = 40


@dataclass(slots=True)
class Report:
    """What a soak has seen."""

    seconds: float = 0.0
    verdicts: int = 0
    uncertain: int = 0
    wrong: list[str] = field(default_factory=list)
    broken: int = 0
    """Connections that broke within a disturbance, which proves nothing, or were kept alive
    for a name that was revoked, as they must."""
    unexplained: list[str] = field(default_factory=list)
    """Connections that broke outside of any."""
    changes: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Everything that is not as it must be."""
        return [*self.wrong[:20], *self.unexplained[:20], *self.leaks]

    def __str__(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.seconds:.0f} s: {self.verdicts} verdicts compared, {len(self.wrong)} wrong; "
            f"{self.uncertain} asked while the filing changed; {self.changes} changes; "
            f"faults: {faults or 'none'}; {self.broken} connections broken by them, "
            f"{len(self.unexplained)} otherwise; leaks: {len(self.leaks)}"
        )


class Soak:
    """One soak of `seconds`, seeded so that it can be repeated."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self._seconds = seconds
        self._rng = random.Random(seed)
        self._report = Report()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._last_fault = 0.0
        self._origin = HttpOrigin()
        self._raw = Recorder(echo)
        self._gate = Gate(
            folder,
            {
                "workers": WORKERS,
                "listeners": [listener("http", "http"), listener("tls", "tls")],
                "upstreams": {
                    "default": {"http": [self._origin.address], "tls": [self._raw.address]}
                },
                "registry": {"listen": f"127.0.0.1:{free_port()}"},
                "sync": {"registry": "embedded"},
                "process": {"drain_seconds": 1},
            },
        )

    def run(self) -> Report:
        """Soak; the report says what was found."""
        began = time.monotonic()
        self._gate.start()
        try:
            access = json.loads((self._gate.directory / "registry" / ACCESS_FILE).read_text())
            truth = Truth(Remote(access["url"], access["token"]), self._rng)
            self._wait_for_revision(truth.begin())
            clients = [self._ask_kept_alive, self._ask_once, self._ask_tls, self._ask_tls]
            threads = [threading.Thread(target=self._client, args=(ask, truth)) for ask in clients]
            for thread in threads:
                thread.start()
            time.sleep(min(5.0, self._seconds / 4))  # memory grows with the caches at first
            before = self._usage()
            try:
                self._disturb(truth, began + self._seconds)
            finally:
                self._stop.set()
                for thread in threads:
                    thread.join(30)
            self._report.changes = truth.changes
            self._look_for_leaks(before)
        finally:
            self._gate.stop()
            self._origin.close()
            self._raw.close()
        self._report.seconds = time.monotonic() - began
        return self._report

    # Changes and faults.

    def _disturb(self, truth: Truth, until: float) -> None:
        next_fault = time.monotonic() + FAULT_SECONDS
        while (now := time.monotonic()) < until:
            if now >= next_fault:
                next_fault = now + FAULT_SECONDS
                self._fault(truth.registry)
            name, revision = truth.change()
            self._wait_for_revision(revision)
            truth.settled(name)
            self._forget_what_arrived()
            time.sleep(CHANGE_SECONDS)
        time.sleep(DISTURBED_SECONDS)

    def _forget_what_arrived(self) -> None:
        """Look once at what the origins recorded, and let go of it: a soak is long."""
        hosts = [request.host for request in self._origin.requests]
        self._origin.requests.clear()
        for origin in (self._origin, self._raw):
            for arrival in [arrival for arrival in origin.arrivals if arrival.ended.is_set()]:
                origin.arrivals.remove(arrival)
        with self._lock:
            self._report.wrong += [
                f"{host} reached the origin" for host in hosts if host.startswith(NEVER_FILED)
            ]

    def _fault(self, registry: Remote) -> None:
        """Kill a process, or have the settings read again."""
        self._last_fault = time.monotonic()
        assert self._gate.process is not None
        workers = self._gate.workers()
        others = [pid for pid in self._gate.children() if pid not in workers]
        kind = self._rng.choice(("worker", "other", "reload", "worker"))
        self._report.faults[kind] += 1
        if kind == "reload":
            self._gate.process.send_signal(signal.SIGHUP)
        else:
            victims = workers if kind == "worker" else others
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._rng.choice(victims), signal.SIGKILL)
        wait_for(lambda: self._gate.ask_admin("/readyz")[0] == 200, "the gate to recover", 30)
        wait_for(lambda: _answers(registry), "the registry to recover", 30)
        self._last_fault = time.monotonic()

    def _wait_for_revision(self, revision: int) -> None:
        """Until the gate says that it has the revision in force in every worker."""
        wait_for(
            lambda: self._gate.total("gate_sync_enforced_revision") >= revision,
            f"revision {revision} to be in force",
            30,
        )

    # Clients.

    def _client(self, ask: Callable[[str, _Memory], bool], truth: Truth) -> None:
        memory = _Memory()
        while not self._stop.is_set():
            host = truth.pick()
            asked_at = time.monotonic()
            try:
                passed = ask(host, memory)
            except OSError as error:
                revoked = memory.connection is not None and memory.last.startswith("changing")
                memory.forget()
                with self._lock:
                    if (
                        revoked
                        or asked_at - self._last_fault < DISTURBED_SECONDS
                        or self._is_disturbed()
                    ):
                        self._report.broken += 1
                    else:
                        self._report.unexplained.append(f"{host}: {error!r}")
                continue
            due = truth.verdict(host, asked_at)
            with self._lock:
                if due is None:
                    self._report.uncertain += 1
                    continue
                self._report.verdicts += 1
                if passed is not due:
                    self._report.wrong.append(f"{host} {'passed' if passed else 'was blocked'}")

    def _is_disturbed(self) -> bool:
        return time.monotonic() - self._last_fault < DISTURBED_SECONDS

    def _ask_kept_alive(self, host: str, memory: _Memory) -> bool:
        if memory.connection is None:
            memory.connection = self._connect()
        return _ask(memory.connection, host, memory)

    def _ask_once(self, host: str, memory: _Memory) -> bool:
        memory.forget()
        memory.connection = self._connect()
        return _ask(memory.connection, host, memory)

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._gate.ports["http"], timeout=20)

    def _ask_tls(self, host: str, memory: _Memory) -> bool:
        """Whether a hello is echoed by the raw origin; a reset says that it is blocked.

        A reset in a disturbance may be the fault's, so it is told apart by asking again.
        """
        hello = real_hello(host)
        try:
            with socket.create_connection(("127.0.0.1", self._gate.ports["tls"]), 20) as sock:
                sock.sendall(hello)
                return bool(sock.recv(65536))
        except (ConnectionResetError, BrokenPipeError):
            if self._is_disturbed():
                raise
            return False

    # Leaks.

    def _usage(self) -> dict[str, tuple[int, int]]:
        """Resident bytes and open files, over all processes of a kind."""
        workers = self._gate.workers()
        return {
            "workers": _sum(workers),
            "others": _sum([pid for pid in self._gate.children() if pid not in workers]),
        }

    def _look_for_leaks(self, before: dict[str, tuple[int, int]]) -> None:
        wait_for(lambda: self._gate.total("gate_connections_open") == 0, "connections to end", 30)
        for kind, (rss, files) in self._usage().items():
            rss_before, files_before = before[kind]
            if rss - rss_before > RSS_GROWTH:
                self._report.leaks.append(f"{kind}: {rss - rss_before} bytes more resident")
            if files - files_before > EXTRA_FILES:
                self._report.leaks.append(f"{kind}: {files - files_before} more open files")
        env = lmdb.open(str(self._gate.directory / "replica"), readonly=True, max_dbs=8)
        try:
            env.reader_check()
            readers = env.readers().count("\n") - 1
        finally:
            env.close()
        processes = len(self._gate.children()) + 1
        if readers > processes + 2:
            self._report.leaks.append(f"{readers} LMDB readers for {processes} processes")


@dataclass(slots=True)
class _Memory:
    """What one client keeps between two requests."""

    connection: http.client.HTTPConnection | None = None
    last: str = ""
    """The host of the last request on it."""

    def forget(self) -> None:
        """Close what is kept."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _ask(connection: http.client.HTTPConnection, host: str, memory: _Memory) -> bool:
    """Whether a request passes: 200 from the origin, or 302 from the gate."""
    try:
        connection.request("GET", "/soak", headers={"Host": host})
        response = connection.getresponse()
    except http.client.HTTPException as error:
        raise ConnectionError(repr(error)) from error
    response.read()
    memory.last = host
    if response.will_close:
        memory.forget()
    if response.status in (200, 302):
        return response.status == 200
    raise ConnectionError(f"status {response.status}")


def _answers(registry: Remote) -> bool:
    try:
        registry.head()
    except RemoteError:
        return False
    return True


def _sum(pids: list[int]) -> tuple[int, int]:
    used = [usage(pid) for pid in pids]
    return sum(item.rss for item in used), sum(item.descriptors for item in used)
