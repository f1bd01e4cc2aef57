"""The gate that the bypass suite tries to get past: one worker, so that turns have an order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.certificates import Certificates
from tests.harness.stage import Stage


@pytest.fixture(scope="session")
def bypass_stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("bypass"), certificates, workers=1)
    try:
        yield stage
    finally:
        stage.close()
