"""A running gate before an origin."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.gate_process import Gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.running import (
    fill,
    new_gate,
)


@pytest.fixture
def origin() -> Iterator[HttpOrigin]:
    origin = HttpOrigin()
    yield origin
    origin.close()


@pytest.fixture
def gate(tmp_path: Path, origin: HttpOrigin) -> Iterator[Gate]:
    """A running gate with example.com filed."""
    gate = new_gate(tmp_path, origin.address)
    fill(gate)
    gate.start()
    yield gate
    gate.stop()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are for one user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
