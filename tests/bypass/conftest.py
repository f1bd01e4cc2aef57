"""The gate that the bypass suite tries to get past: one worker, so that turns have an order."""

from __future__ import annotations

import pytest

from tests.harness.planes import Plane
from tests.harness.stage import Stage, Stages


@pytest.fixture
def bypass_stage(stages: Stages, plane: Plane) -> Stage:
    # What arrives says who the gate took it for, which a client cannot say in its place.
    upstreams = {"forwarded": "replace", "via": True}
    return stages.on("bypass", plane, workers=1, upstreams=upstreams)
