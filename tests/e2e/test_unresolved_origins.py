"""An origin whose name does not resolve takes nobody else with it, at a start or a reload."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness.client import Client, get
from tests.harness.filings import FILED, FILED_CN
from tests.harness.gate_process import Gate, listener, run_gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.stage import prepare_replica
from tests.harness.waiting import wait_for

GONE = "nowhere.invalid:80"


@pytest.fixture
def origin() -> Iterator[HttpOrigin]:
    origin = HttpOrigin()
    yield origin
    origin.close()


def gate_to(folder: Path, *default: str, route: str) -> Gate:
    """A gate with one route of its own, for FILED; all else goes to the default."""
    prepare_replica(folder / "replica")
    upstreams = {
        "default": {"http": list(default)},
        "routes": [{"match": FILED, "upstream": {"http": [route]}}],
        "rest_seconds": 0.2,
    }
    settings = {"listeners": [listener("http", "http")], "workers": 1, "upstreams": upstreams}
    return Gate(folder, settings)


def status(gate: Gate, host: str) -> int:
    with Client(gate.ports["http"]) as client:
        return client.ask(get(host, "/")).status


def test_a_gate_starts_serves_the_others_and_says_so(tmp_path: Path, origin: HttpOrigin) -> None:
    gate = gate_to(tmp_path, GONE, route=origin.address).start()
    try:
        assert status(gate, FILED) == 200
        assert status(gate, FILED_CN) == 502
        assert gate.by_label("gate_upstream_resting", "address")[GONE] == 1
        log = gate.log.read_text()
        assert "origin nowhere.invalid does not resolve (" in log
        assert "Traceback" not in log
    finally:
        gate.stop()


def test_a_reload_that_brings_such_a_name_is_done_and_the_others_are_served(
    tmp_path: Path, origin: HttpOrigin
) -> None:
    gate = gate_to(tmp_path, origin.address, route=origin.address).start()
    try:
        assert status(gate, FILED_CN) == 200
        settings = yaml.safe_load(gate.config.read_text())
        settings["upstreams"]["default"]["http"] = [GONE]
        gate.config.write_text(yaml.safe_dump(settings))
        run_gate("reload", "--config", str(gate.config))
        wait_for(lambda: status(gate, FILED_CN) == 502, "the new settings to be in force")
        assert status(gate, FILED) == 200
        assert "origin nowhere.invalid does not resolve (" in gate.log.read_text()
    finally:
        gate.stop()


def test_config_check_warns_and_passes(tmp_path: Path, origin: HttpOrigin) -> None:
    gate = gate_to(tmp_path, GONE, route=origin.address)
    checked = run_gate("config", "check", "--config", str(gate.config))
    assert checked.returncode == 0
    assert (
        "gate: warning: upstreams.default.http: nowhere.invalid does not resolve ("
        in checked.stderr
    )
    assert checked.stderr.count("does not resolve") == 1


def test_a_name_with_two_addresses_is_served_by_the_one_that_answers(tmp_path: Path) -> None:
    """localhost is ::1 as well, where there is IPv6, and nobody listens there."""
    origin = HttpOrigin()
    port = origin.address.rpartition(":")[2]
    gate = gate_to(tmp_path, f"localhost:{port}", route=origin.address).start()
    try:
        assert {status(gate, FILED_CN) for _ in range(4)} == {200}
        names = {info[4][0] for info in socket.getaddrinfo("localhost", 0)}
        failures = gate.by_label("gate_upstream_failures_total", "address")[f"localhost:{port}"]
        assert failures <= 4 * (len(names) - 1)
    finally:
        gate.stop()
        origin.close()
