"""Workers that a reload has replaced hear what the settings that came after theirs say."""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from gate.ipc.scoreboard import Board
from gate.proxy.reactor import new_event_loop
from gate.settings import Settings
from gate.worker.process import Worker, _Running
from tests.harness.client import Client
from tests.harness.gate_process import Gate, listener
from tests.harness.hello import hello
from tests.harness.http_origin import HttpOrigin
from tests.harness.operating import command
from tests.harness.planes import Plane
from tests.harness.recorder import Recorder, echo
from tests.harness.running import fill, is_pending, log_of, new_gate
from tests.harness.waiting import wait_for

FILED, UNFILED = "example.com", "example.org"
UPLOAD = b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nab"


@pytest.fixture
def gate(tmp_path: Path, origin: HttpOrigin, plane: Plane) -> Iterator[Gate]:
    """A gate with a listener for TLS that only monitors."""
    recorder = Recorder(echo)
    gate = new_gate(
        tmp_path,
        workers=1,
        listeners=[listener("http", "http"), listener("tls", "tls", mode="monitor")],
        upstreams={"default": {"http": [origin.address], "tls": [recorder.address]}},
    )
    gate.plane = plane
    fill(gate)
    gate.start()
    yield gate
    gate.stop()
    recorder.close()


def rewrite(gate: Gate, mode: str = "monitor", **process: float) -> None:
    """Write other settings: the mode of the TLS listener, and some of `process`."""
    http, tls = gate.settings["listeners"][:2]
    gate.settings["listeners"] = [http, tls | {"mode": mode}]
    gate.settings["process"] |= process
    gate.config.write_text(yaml.safe_dump(gate.settings))


def reload(gate: Gate) -> None:
    done = command(gate, "reload")
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def tunnel(gate: Gate, name: str) -> Iterator[Client]:
    with Client(gate.ports["tls"]) as client:
        client.send(hello(name.encode()))
        assert client.read_some()
        yield client


def test_what_only_monitoring_let_through_ends_when_a_reload_enforces(gate: Gate) -> None:
    with tunnel(gate, UNFILED) as unfiled, tunnel(gate, FILED) as filed:
        rewrite(gate, "enforce")
        reload(gate)
        unfiled.expect_cut()
        filed.send(b"more")
        assert filed.read_some() == b"more"
        wait_for(
            lambda: gate.total("gate_connections_ended_total", cause="not_allowed") == 1,
            "the tunnel to be counted",
        )


def test_what_only_monitoring_let_through_two_reloads_ago_ends_too(gate: Gate) -> None:
    with tunnel(gate, UNFILED) as unfiled:
        reload(gate)
        unfiled.send(b"more")
        assert unfiled.read_some() == b"more"
        rewrite(gate, "enforce")
        reload(gate)
        unfiled.expect_cut()


def test_a_reload_that_is_rolled_back_ends_nothing(gate: Gate) -> None:
    """The settings that would have enforced were never in force."""
    assert gate.process is not None
    with tunnel(gate, UNFILED) as before, tunnel(gate, UNFILED) as later:
        reload(gate)  # so that both have an old worker
        rewrite(gate, "enforce")
        supervisor, known = gate.process.pid, gate.children()
        (control,) = gate.who_listens(gate.admin)
        with ThreadPoolExecutor(1) as pool:
            os.kill(supervisor, signal.SIGSTOP)
            reloading = pool.submit(command, gate, "reload")
            try:
                wait_for(
                    lambda: is_pending(supervisor, signal.SIGHUP), "the reload to be asked for"
                )
                os.kill(control, signal.SIGSTOP)
                os.kill(supervisor, signal.SIGCONT)
                new = wait_for(lambda: set(gate.children()) - set(known), "the new worker")
                os.kill(new.pop(), signal.SIGKILL)
            finally:
                os.kill(supervisor, signal.SIGCONT)
                os.kill(control, signal.SIGCONT)
            assert "rolled back" in reloading.result(60).stdout
        fill(gate, f"{FILED}\nexample.net\n")  # every worker has answered the control process
        for client in (before, later):
            client.send(b"more")
            assert client.read_some() == b"more"


def test_a_shorter_drain_reaches_those_that_were_replaced_before(gate: Gate) -> None:
    """What they have counted is not lost, as it would be if they were killed for it."""
    with Client(gate.ports["http"]) as client:
        client.send(UPLOAD)
        wait_for(lambda: gate.total("gate_connections_open") == 1, "the connection")
        busy = set(gate.workers())
        reload(gate)
        assert busy < set(gate.children())
        wait_for(lambda: gate.decisions(reason="filed") == 1, "the request to be counted")
        rewrite(gate, reload_drain_seconds=0)
        reload(gate)
        client.expect_cut()
        wait_for(lambda: not busy & set(gate.children()), "the old worker to end")
        assert "did not end in time" not in log_of(gate)
        wait_for(lambda: gate.decisions(reason="filed") == 1, "what it has counted")


def test_the_newest_settings_say_how_long_a_replaced_worker_may_drain() -> None:
    """Whether it hears of them before it is told that it is replaced, or later."""
    settings = Settings.model_validate({"process": {"reload_drain_seconds": 5}})
    row = Board(["worker-0"]).row("worker-0")
    for seconds in (1.0, 3600.0):
        loop = new_event_loop()
        running = _Running(Worker(0, settings, ()), row, loop)
        assert running._ends_at() == math.inf
        running._retire()
        first = running._ends_at()
        running._give_time(seconds)
        assert running._ends_at() == pytest.approx(first - 5 + seconds)
        running._end(0.5)
        assert running._ends_at() <= first - 5 + seconds
        loop.close()
