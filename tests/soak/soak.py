"""Mixed load with changes and faults, every verdict compared with the registry's truth.

Three kinds of clients ask a real gate, with an embedded registry, for names that are filed, come
and go, or were never filed. Meanwhile filings change, and processes are killed, paused and
replaced. At the end nothing may have leaked, and no verdict may have been wrong: neither one that a
client saw, nor one that the gate has noted itself.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lmdb

from gate.registry.client import Remote, RemoteError
from gate.registry.places import ACCESS_FILE
from tests.harness import prefork
from tests.harness.gate_process import Gate, listener, usage
from tests.harness.hello import real_hello
from tests.harness.http_origin import HttpOrigin
from tests.harness.ports import free_port
from tests.harness.recorder import Recorder, echo
from tests.harness.waiting import wait_for
from tests.soak.record import Record
from tests.soak.report import Report
from tests.soak.truth import NEVER_FILED, Truth

WORKERS = 2
FAULTS = (
    "worker killed",
    "worker killed",
    "worker paused",
    "other killed",
    "reload",
    "upgrade",
)
FAULT_SECONDS = 6.0
FAULTY_SHARE = 0.6  # of the time, or longer, until there were
LEAST_FAULTS = 3
PAUSE_SECONDS = 0.5
# A worker's death breaks its connections, and those that wait for it; no other fault breaks any.
DISTURBED_SECONDS = 3.0
CHANGE_SECONDS = 0.5
RECORD_SECONDS = 1.0
SETTLE_SECONDS = 30.0
PROGRESS_SECONDS = 60.0
PATIENCE_SECONDS = 120.0  # a soak runs beside other work, with less right to the processor
RSS_GROWTH = 60 << 20
EXTRA_FILES = 40


class Gone(Exception):
    """There is no gate any more."""


class Soak:
    """One soak of `seconds`, seeded so that it can be repeated."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self._seconds = seconds
        self._rng = random.Random(seed)
        self._report = Report()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._began = 0.0
        self._killed_at = 0.0
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
                # Small, so that they are full before the memory is measured.
                "policy": {"cache_size": 2000},
                "unfiled": {"names": 1000},
                "log": {"format": "json", "access": {"per_second": 10_000}},
            },
            patience=PATIENCE_SECONDS,
        )
        self._record = Record(self._gate.log, folder / "events.log")

    def run(self, progress: Callable[[str], None] = lambda line: None) -> Report:
        """Soak; the report says what was found, and `progress` is told every minute."""
        self._began = began = time.monotonic()
        with prefork.executing():
            self._gate.start()
        try:
            access = json.loads((self._gate.directory / "registry" / ACCESS_FILE).read_text())
            truth = Truth(Remote(access["url"], access["token"]), self._rng)
            self._wait_for_revision(truth.begin())
            clients = [self._ask_kept_alive, self._ask_once, self._ask_tls, self._ask_tls]
            threads = [threading.Thread(target=self._client, args=(ask, truth)) for ask in clients]
            for thread in threads:
                thread.start()
            before: dict[str, tuple[int, int]] = {}
            try:
                rough = began + self._seconds * FAULTY_SHARE
                self._go_on(truth, rough, progress, faults=True)
                # What is killed can't leak: the last part leaves all processes alone.
                self._settle(truth)
                before = self._usage()
                self._go_on(truth, began + self._seconds, progress, faults=False)
            except Gone as error:
                self._note("unexplained", str(error))
            finally:
                self._stop.set()
                for thread in threads:
                    thread.join(30)
            self._compare_record(truth)
            if before:
                self._look_for_leaks(before)
        finally:
            self._gate.stop()
            self._origin.close()
            self._raw.close()
        self._report.seconds = time.monotonic() - began
        return self._report

    # Changes and faults.

    def _go_on(
        self, truth: Truth, until: float, progress: Callable[[str], None], *, faults: bool
    ) -> None:
        """Change filings and cause faults; whatever goes wrong is noted, and the soak goes on."""
        caused = self._report.faults
        began = time.monotonic()
        next_fault, next_word = began + FAULT_SECONDS, began + PROGRESS_SECONDS
        while (now := time.monotonic()) < until or (faults and caused.total() < LEAST_FAULTS):
            if now >= next_word:
                next_word += PROGRESS_SECONDS
                self._report.seconds = now - self._began
                progress(str(self._report))
            try:
                if faults and now >= next_fault:
                    next_fault = now + FAULT_SECONDS
                    self._fault(truth.registry)
                self._change(truth)
            except (AssertionError, RemoteError, OSError) as error:
                if self._gate.process is None or self._gate.process.poll() is not None:
                    raise Gone(f"the whole gate has ended: {error}") from error
                self._note("unexplained", f"{type(error).__name__}: {error}")
            self._compare_record(truth)
            time.sleep(CHANGE_SECONDS)

    def _settle(self, truth: Truth) -> None:
        """Until the last fault is over, and the caches of fresh processes are full."""
        until = time.monotonic() + min(SETTLE_SECONDS, self._seconds / 6)
        self._go_on(truth, until, lambda line: None, faults=False)

    def _change(self, truth: Truth) -> None:
        name, revision = truth.change()
        self._report.changes = truth.changes
        self._wait_for_revision(revision)
        truth.settled(name)
        self._forget_what_arrived()

    def _forget_what_arrived(self) -> None:
        """Look once at what the origins recorded, and let go of it: a soak is long."""
        hosts = [request.host for request in self._origin.requests]
        self._origin.requests.clear()
        for origin in (self._origin, self._raw):
            for arrival in [arrival for arrival in origin.arrivals if arrival.ended.is_set()]:
                origin.arrivals.remove(arrival)
        for host in hosts:
            if host.startswith(NEVER_FILED):
                self._note("wrong", f"{host} reached the origin")

    def _compare_record(self, truth: Truth) -> None:
        """Hold what the gate says that it blocked against the truth."""
        shift = time.monotonic() - time.time()
        for block in self._record.read():
            # A line is written after the decision, so the truth must have stood for a while.
            due = truth.verdict(block.name, block.time + shift - RECORD_SECONDS)
            if due is True:
                self._note("wrong", f"the gate says that it blocked {block}")
        self._report.blocks = self._record.blocks
        self._report.suppressed = self._record.suppressed

    def _note(self, kind: Literal["wrong", "unexplained", "leaks"], problem: str) -> None:
        with self._lock:
            self._report.note(kind, problem)

    def _fault(self, registry: Remote) -> None:
        """Kill or pause a process, or have the settings read or the program started anew."""
        process = self._gate.process
        assert process is not None
        before = self._gate.children()
        workers = self._gate.workers()
        kind = self._rng.choice(FAULTS)
        self._report.faults[kind] += 1
        if kind == "worker killed":
            self._killed_at = math.inf  # until it is over
            os.kill(self._rng.choice(workers), signal.SIGKILL)
        elif kind == "worker paused":
            victim = self._rng.choice(workers)
            os.kill(victim, signal.SIGSTOP)
            time.sleep(PAUSE_SECONDS)
            os.kill(victim, signal.SIGCONT)
        elif kind == "other killed":
            os.kill(self._rng.choice([pid for pid in before if pid not in workers]), signal.SIGKILL)
        else:
            process.send_signal(signal.SIGHUP if kind == "reload" else signal.SIGUSR2)
            wait_for(
                lambda: not set(before) & set(self._gate.children()),
                f"the end of the old processes after {kind}",
                PATIENCE_SECONDS,
            )
        try:
            wait_for(
                lambda: self._gate.ask_admin("/readyz")[0] == 200,
                "the gate to recover",
                PATIENCE_SECONDS,
            )
            wait_for(lambda: _answers(registry), "the registry to recover", PATIENCE_SECONDS)
        finally:
            if kind == "worker killed":
                self._killed_at = time.monotonic()

    def _wait_for_revision(self, revision: int) -> None:
        """Until the gate says that it has the revision in force in every worker."""
        wait_for(
            lambda: self._gate.total("gate_sync_enforced_revision") >= revision,
            f"revision {revision} to be in force",
            PATIENCE_SECONDS,
        )

    # Clients.

    def _client(self, ask: Callable[[str, _Memory], bool | None], truth: Truth) -> None:
        memory = _Memory()
        while not self._stop.is_set():
            host = truth.pick()
            asked_at = time.monotonic()
            disturbed = self._is_disturbed()
            try:
                passed = ask(host, memory)
                error = "reset"
            except OSError as caught:
                passed, error = None, repr(caught)
            due = truth.verdict(host, asked_at)
            revoked = memory.connection is not None and memory.last.startswith("changing")
            if passed is None:
                memory.forget()
            with self._lock:
                if due is None:
                    self._report.uncertain += 1
                elif passed is due or (error == "reset" and passed is None and not due):
                    self._report.verdicts += 1
                elif passed is not None:
                    self._report.verdicts += 1
                    self._report.note("wrong", f"{host} {'passed' if passed else 'was blocked'}")
                elif revoked or disturbed or self._is_disturbed():
                    self._report.broken += 1
                else:
                    self._report.note("unexplained", f"{ask.__name__} {host}: {error}")
            if passed is None and due:
                self._stop.wait(0.05)  # not to drown what went wrong in its consequences

    def _is_disturbed(self) -> bool:
        return time.monotonic() - self._killed_at < DISTURBED_SECONDS

    def _ask_kept_alive(self, host: str, memory: _Memory) -> bool | None:
        if memory.connection is None:
            memory.connection = self._connect()
        return _ask(memory.connection, host, memory)

    def _ask_once(self, host: str, memory: _Memory) -> bool | None:
        memory.forget()
        memory.connection = self._connect()
        return _ask(memory.connection, host, memory)

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._gate.ports["http"], timeout=20)

    def _ask_tls(self, host: str, memory: _Memory) -> bool | None:
        """True for a hello that the raw origin echoes, None for a reset.

        A reset says that it was blocked, or that the connection broke: the gate's record tells.
        It never blocks by an orderly end.
        """
        hello = real_hello(host)
        try:
            with socket.create_connection(("127.0.0.1", self._gate.ports["tls"]), 20) as sock:
                sock.sendall(hello)
                data = sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return None
        if not data or not hello.startswith(data):
            raise ConnectionError(f"{len(data)} bytes that are not the hello")
        return True

    # Leaks.

    def _usage(self) -> dict[str, tuple[int, int]]:
        """Resident bytes and open files, over all processes of a kind."""
        workers = self._gate.workers()
        assert self._gate.process is not None
        return {
            "supervisor": _sum([self._gate.process.pid]),
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
