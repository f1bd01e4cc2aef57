"""A reload of a gate in front of hosts: what must not stay open any more ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness import filings, hello
from tests.harness.certificates import Certificates
from tests.harness.client import Client
from tests.harness.inner_stage import FAMILIES, SEEN, TPROXY, InnerStage, Way
from tests.harness.namespaces import HOST, THIRD_HOST, InnerNetworks
from tests.harness.planes import Plane

WAYS = (TPROXY, SEEN)


@pytest.fixture
def stage(tmp_path: Path, certificates: Certificates, plane: Plane) -> Iterator[InnerStage]:
    with InnerNetworks() as networks:
        stage = InnerStage(networks, tmp_path, certificates, ways=WAYS, plane=plane)
        try:
            stage.intercept()
            yield stage
        finally:
            stage.close()


def reload(stage: InnerStage, *destinations: object) -> None:
    """Reload with these destinations of every listener."""
    settings = stage.gate.settings
    settings["listeners"] = [
        entry | {"destinations": list(destinations)} for entry in settings["listeners"]
    ]
    stage.gate.config.write_text(yaml.safe_dump(settings))
    assert "reloaded" in stage.command("reload")


@contextlib.contextmanager
def tunnel(stage: InnerStage, way: Way, host: str, name: str) -> Iterator[Client]:
    with stage.connect(host, way.tls) as client:
        client.send(hello.real_hello(name))
        assert client.read_some()
        yield client


def test_what_a_network_let_through_ends_when_the_network_enforces(stage: InnerStage) -> None:
    with contextlib.ExitStack() as stack:

        def opened(host: dict[int, str], name: str) -> list[Client]:
            return [
                stack.enter_context(tunnel(stage, way, host[family], name))
                for way in WAYS
                for family in FAMILIES
            ]

        waved, filed = opened(THIRD_HOST, filings.UNFILED), opened(THIRD_HOST, filings.FILED)
        elsewhere = opened(HOST, filings.FILED)
        networks = [f"{host[family]}" for host in (HOST, THIRD_HOST) for family in FAMILIES]
        reload(stage, *({"network": at, "mode": "enforce"} for at in networks))
        for client in waved:
            client.expect_cut()
        for client in (*filed, *elsewhere):
            client.expect_silence(0.05)


def test_what_is_open_to_a_network_that_is_none_of_them_any_more_stays(stage: InnerStage) -> None:
    """Nothing new is taken for it; what is open was let through by a filing, or for none."""
    with (
        tunnel(stage, TPROXY, HOST[4], filings.FILED) as here,
        tunnel(stage, TPROXY, THIRD_HOST[4], filings.UNFILED) as there,
    ):
        reload(stage, HOST[4], HOST[6])
        for client in (here, there):
            client.expect_silence(0.2)
