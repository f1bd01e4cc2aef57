"""A gate before origins of both kinds, with one domain filed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.watching import FILED
from tests.harness.gate_process import Gate, listener
from tests.harness.http_origin import HttpOrigin
from tests.harness.recorder import Recorder, echo
from tests.supervisor.running import fill, new_gate


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Running, with two workers."""
    with closing(HttpOrigin()) as origin, closing(Recorder(echo)) as raw:
        gate = new_gate(
            tmp_path,
            listeners=[listener("http", "http"), listener("tls", "tls")],
            upstreams={"default": {"http": [origin.address], "tls": [raw.address]}},
            process={"drain_seconds": 1, "reload_drain_seconds": 2},
        )
        fill(gate, f"{FILED.removeprefix('www.')}\n")
        gate.start()
        yield gate
        if gate.process is not None:
            gate.stop()
