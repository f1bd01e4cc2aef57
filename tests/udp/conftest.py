"""The gates of the QUIC suites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.certificates import Certificates
from tests.harness.quic_stage import QuicStage


@pytest.fixture(scope="package")
def shared_quic_stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[QuicStage]:
    """One gate with two workers for every test that needs no settings of its own."""
    stage = QuicStage(tmp_path_factory.mktemp("quic"), certificates)
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def stage(shared_quic_stage: QuicStage) -> QuicStage:
    """The shared gate."""
    return shared_quic_stage
