"""A gate with small limits, made anew for each test: what one test exhausts, no other misses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.certificates import Certificates
from tests.harness.gate_process import listener
from tests.harness.planes import Plane
from tests.harness.stage import Stage

LIMITS: dict[str, Any] = {
    "head_seconds": 1.0,
    "hello_seconds": 1.0,
    "idle_seconds": 1.0,
    "body_idle_seconds": 1.0,
    "tunnel_idle_seconds": 1.0,
    "connections_per_address": 100,
    "connections_per_worker": 400,
}

Besiege = Callable[..., Stage]


@pytest.fixture
def besiege(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, plane: Plane
) -> Iterator[Besiege]:
    """Start a gate of one worker with `LIMITS`, and other settings as given."""
    stages: list[Stage] = []

    def start(limits: dict[str, Any] | None = None, **settings: Any) -> Stage:
        descriptors = settings.pop("descriptors", None)
        settings.setdefault("listeners", [listener("http", "http"), listener("tls", "tls")])
        stage = Stage(
            tmp_path_factory.mktemp("siege"),
            certificates,
            plane=plane,
            descriptors=descriptors,
            workers=1,
            limits=LIMITS | (limits or {}),
            **settings,
        )
        stages.append(stage)
        return stage

    try:
        yield start
    finally:
        for stage in stages:
            stage.close()
