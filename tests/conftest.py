"""Fixtures of the suites that run the real program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import filings
from tests.harness.certificates import Certificates, make_certificates
from tests.harness.stage import Stage, fresh_path

# How fast an example runs says more about the machine than about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and a certificate for every filed name."""
    names = [*filings.ALL_FILED, filings.UNFILED, filings.EXEMPT]
    return make_certificates(tmp_path_factory.mktemp("certificates"), names)


@pytest.fixture(scope="session")
def shared_stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Stage]:
    """One gate with two workers for every test that needs no settings of its own."""
    stage = Stage(tmp_path_factory.mktemp("gate"), certificates)
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """The shared gate; afterwards no origin may have been sent anything uncanonical."""
    before = len(shared_stage.violations())
    yield shared_stage
    assert shared_stage.violations()[before:] == []


@pytest.fixture(scope="session")
def shared_impatient_stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Stage]:
    """A gate of one worker whose every time limit is short."""
    stage = Stage(
        tmp_path_factory.mktemp("impatient"),
        certificates,
        workers=1,
        limits={
            "head_seconds": 1.0,
            "hello_seconds": 1.0,
            "idle_seconds": 1.0,
            "body_idle_seconds": 1.0,
            "tunnel_idle_seconds": 1.0,
        },
        upstreams={"connect_timeout": 0.5, "response_timeout": 1.0, "idle_timeout": 1.0},
    )
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def impatient_stage(shared_impatient_stage: Stage) -> Iterator[Stage]:
    """The gate with short time limits."""
    before = len(shared_impatient_stage.violations())
    yield shared_impatient_stage
    assert shared_impatient_stage.violations()[before:] == []


@pytest.fixture
def path() -> str:
    """A request path of this test alone."""
    return fresh_path()
