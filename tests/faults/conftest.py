"""A gate before origins of both kinds, with one domain filed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.watching import FILED
from tests.harness.gate_process import Gate, listener
from tests.harness.http_origin import HttpOrigin
from tests.harness.planes import Plane
from tests.harness.recorder import Recorder, echo
from tests.harness.running import fill


@pytest.fixture
def origins() -> Iterator[dict[str, Any]]:
    """The settings of a gate with two workers before origins of both kinds."""
    with closing(HttpOrigin()) as origin, closing(Recorder(echo)) as raw:
        yield {
            "workers": 2,
            "listeners": [listener("http", "http"), listener("tls", "tls")],
            "upstreams": {"default": {"http": [origin.address], "tls": [raw.address]}},
            "process": {"drain_seconds": 1, "reload_drain_seconds": 2},
        }


@pytest.fixture
def gate(tmp_path: Path, origins: dict[str, Any], plane: Plane) -> Iterator[Gate]:
    """Running, and what they share."""
    gate = Gate(tmp_path, origins, plane=plane)
    fill(gate, f"{FILED.removeprefix('www.')}\n")
    gate.start()
    yield gate
    if gate.process is not None:
        gate.stop()
