"""A gate in front of hosts, for the suites that change nothing in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.harness.certificates import Certificates
from tests.harness.inner_stage import InnerStage
from tests.harness.namespaces import InnerNetworks
from tests.harness.planes import Plane


@pytest.fixture(scope="session")
def networks() -> Iterator[InnerNetworks]:
    """A client, a gate and hosts, wired up."""
    with InnerNetworks() as networks:
        yield networks


@pytest.fixture(scope="session")
def inner_on(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Callable[[Plane], InnerStage]]:
    """Start, once for each data plane, a gate that stands in front of hosts in every way."""
    with contextlib.ExitStack() as stack:
        stages: dict[str, InnerStage] = {}

        def stage_on(plane: Plane) -> InnerStage:
            if plane.name not in stages:
                networks = stack.enter_context(InnerNetworks())
                folder = tmp_path_factory.mktemp("inner")
                stage = InnerStage(networks, folder, certificates, plane=plane)
                stack.callback(stage.close)
                stage.intercept()
                stages[plane.name] = stage
            return stages[plane.name]

        yield stage_on


@pytest.fixture
def inner(inner_on: Callable[[Plane], InnerStage], plane: Plane) -> Iterator[InnerStage]:
    """The shared gate; afterwards no host may have been sent anything uncanonical."""
    stage = inner_on(plane)
    yield stage
    assert [v for o in stage.http.values() for v in o.violations] == []
