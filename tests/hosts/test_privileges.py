"""A gate that becomes somebody else serves on: transparently, and as the clients if it is to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import filings
from tests.harness.certificates import Certificates
from tests.harness.client import get
from tests.harness.inner_stage import FAMILIES, SEEN, TPROXY, InnerStage, Way
from tests.harness.namespaces import CLIENT, GATE, HOST, InnerNetworks
from tests.harness.waiting import wait_for
from tests.supervisor.users import can_run, own, status_fields

NET_RAW = 1 << 13


@pytest.fixture(scope="module", params=[TPROXY, SEEN], ids=str)
def stage(
    request: pytest.FixtureRequest, certificates: Certificates
) -> Iterator[tuple[InnerStage, Way]]:
    """A gate of nobody's, with one way to stand in front of hosts."""
    way: Way = request.param
    with tempfile.TemporaryDirectory() as folder, InnerNetworks() as networks:
        directory = Path(folder)
        own(directory, "nobody")
        process = {"drain_seconds": 0, "user": "nobody", "group": "nogroup"}
        stage = InnerStage(networks, directory, certificates, ways=(way,), process=process)
        try:
            stage.intercept()
            yield stage, way
        finally:
            stage.close()


def family_of_processes(stage: InnerStage) -> list[int]:
    """The gate's processes: `ip netns exec` has become the supervisor."""
    assert stage.gate.process is not None
    return [stage.gate.process.pid, *stage.gate.children()]


def is_served(stage: InnerStage, way: Way, path: str) -> None:
    for family in FAMILIES:
        with stage.connect(HOST[family], way.http) as client:
            assert client.ask(get(filings.FILED, path)).status == 200
        _, arrival = stage.request_about(way, family, path)
        assert arrival.peer[0] == (CLIENT if way is SEEN else GATE)[family]


def test_it_serves_without_rights(stage: tuple[InnerStage, Way], path: str) -> None:
    """docker-nginx#143: EPERM after the privilege drop."""
    inner, way = stage
    is_served(inner, way, path)


def test_it_keeps_the_one_right_that_it_needs(stage: tuple[InnerStage, Way]) -> None:
    inner, way = stage
    for pid in family_of_processes(inner):
        fields = status_fields(pid)
        assert "0" not in fields["Uid"].split()
        assert int(fields["CapEff"], 16) == (NET_RAW if way is SEEN else 0)


def test_it_keeps_that_across_a_reload(stage: tuple[InnerStage, Way], path: str) -> None:
    inner, way = stage
    assert "reloaded" in inner.command("reload")
    is_served(inner, way, path)


def test_it_keeps_that_across_an_upgrade(stage: tuple[InnerStage, Way], path: str) -> None:
    inner, way = stage
    if not can_run("nobody"):
        pytest.skip("this machine lacks a `gate` that the user nobody may run")
    before = inner.gate.log.read_text().count("upgraded")
    inner.command("upgrade")
    wait_for(lambda: inner.gate.log.read_text().count("upgraded") > before, "the upgrade")
    wait_for(lambda: inner.gate.readiness() == 200, "the gate to be ready")
    is_served(inner, way, path)
