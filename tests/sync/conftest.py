"""Fixtures of the sync's tests: a registry process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.registry_process import RegistryProcess


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryProcess]:
    """A registry that runs."""
    registry = RegistryProcess(tmp_path / "registry").start()
    yield registry
    registry.kill()
