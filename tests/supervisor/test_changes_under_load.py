"""Reloads, upgrades and a drain under load: not one request fails."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.harness.certificates import Certificates, make_certificates
from tests.harness.client import Client, get
from tests.harness.gate_process import Gate, listener
from tests.harness.http_origin import HttpOrigin
from tests.harness.planes import AS_CONFIGURED
from tests.harness.running import fill, log_of, new_gate
from tests.harness.tls_origin import TlsOrigin
from tests.harness.tools import require
from tests.harness.waiting import wait_for


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path, ["example.com"])


@pytest.fixture
def gate(tmp_path: Path, origin: HttpOrigin, certificates: Certificates) -> Iterator[Gate]:
    """A gate with example.com filed, over HTTP and TLS, on the Python data plane."""
    with closing(TlsOrigin(certificates)) as tls_origin:
        gate = new_gate(
            tmp_path,
            listeners=[listener("http", "http"), listener("tls", "tls")],
            upstreams={"default": {"http": [origin.address], "tls": [tls_origin.address]}},
            process={"drain_seconds": 5, "native": "off"},
        )
        gate.plane = AS_CONFIGURED
        fill(gate)
        gate.start()
        yield gate
        gate.stop()


def wrk(gate: Gate, *fields: str) -> subprocess.Popen[str]:
    """Load from 8 connections until it is told to stop."""
    headers = [part for text in ("Host: example.com", *fields) for part in ("-H", text)]
    url = f"http://127.0.0.1:{gate.ports['http']}/"
    command = [require("wrk"), "-t1", "-c8", "-d120", "--timeout", "10s", *headers, url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def flawless(load: subprocess.Popen[str]) -> int:
    """Stop the load; how many requests it has made. Fails if one of them did."""
    load.send_signal(signal.SIGINT)
    report, _ = load.communicate(timeout=20)
    assert "Socket errors" not in report, report
    assert "Non-2xx" not in report, report
    found = re.search(r"(\d+) requests in", report)
    assert found is not None, report
    return int(found[1])


def change(gate: Gate, number: signal.Signals, done: str, native: str) -> None:
    """Set the data plane, send the signal, and wait until the log says that it is `done`."""
    assert gate.process is not None
    gate.settings["process"]["native"] = native
    gate.config.write_text(yaml.safe_dump(gate.settings))
    count = log_of(gate).count(done)
    gate.process.send_signal(number)
    wait_for(lambda: log_of(gate).count(done) > count, done, 90)
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready", 90)


@pytest.mark.parametrize("fields", [(), ("Connection: close",)], ids=["kept", "new"])
def test_no_request_fails_through_reloads_and_upgrades_to_the_other_data_plane_and_back(
    gate: Gate, certificates: Certificates, fields: tuple[str, ...]
) -> None:
    context = certificates.client_context()
    with Client(gate.ports["tls"]) as client:
        tls = context.wrap_socket(client.sock, server_hostname="example.com")
        load = wrk(gate, *fields)
        try:
            for number, done, native in [
                (signal.SIGHUP, "reloaded", "off"),
                (signal.SIGUSR2, "ready:", "auto"),
                (signal.SIGHUP, "reloaded", "off"),
                (signal.SIGHUP, "reloaded", "auto"),
                (signal.SIGUSR2, "ready:", "off"),
            ]:
                change(gate, number, done, native)
                # The tunnel was opened before it all, and is in its old worker still.
                tls.sendall(get("example.com", "/after"))
                assert b"tls origin: example.com /after" in read_answer(tls)
        except BaseException:
            load.kill()
            load.wait(5)
            raise
        assert flawless(load) > 100
        tls.close()


def read_answer(tls: ssl.SSLSocket) -> bytes:
    received = b""
    while b"/after" not in received:
        piece = tls.recv(65536)
        assert piece, "the tunnel was cut"
        received += piece
    return received


def test_a_drain_of_one_of_two_gates_fails_no_request(tmp_path: Path, origin: HttpOrigin) -> None:
    gates = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        process = {"drain_delay": 1.0, "drain_seconds": 5}
        gates.append(new_gate(tmp_path / name, origin.address, workers=1, process=process))
    for gate in gates:
        fill(gate)
        gate.start()
    stop = threading.Event()
    faults: list[str] = []
    answers: list[int] = [0, 0]

    def ask() -> None:
        """A balancer: takes the gates in turn, and only those that say that they are ready."""
        while not stop.is_set():
            for index, gate in enumerate(gates):
                if gate.ask_admin("/readyz")[0] != 200:
                    continue
                try:
                    with Client(gate.ports["http"]) as client:
                        for _ in range(3):
                            status = client.ask(get("example.com")).status
                            assert status == 200
                            answers[index] += 1
                except Exception as error:
                    faults.append(f"gate {index}: {error!r}")

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        wait_for(lambda: min(answers) > 10 or faults, "both to serve", 20)
        assert gates[0].stop() == 0
        last = answers[1]
        wait_for(lambda: answers[1] > last + 10 or faults, "the other one to go on", 20)
    finally:
        stop.set()
        asking.join(20)
        for gate in gates:
            gate.stop()
    assert faults == []
