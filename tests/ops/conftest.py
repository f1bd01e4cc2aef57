"""What the suites of set-ups share."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.machine import Machine

ROOT = Path(__file__).parents[2]

COPIED = Path("/srv/copied")
"""Where the distribution and the configuration are on the installed machine."""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Path]:
    """The root of a machine with gate and registry installed by the script; for reading only."""
    with Machine(tmp_path_factory.mktemp("installed")) as machine:
        shutil.copytree(checkout, machine.root / COPIED.relative_to("/"))
        done = machine.run("config/install.sh", "--registry", folder=COPIED)
        assert done.returncode == 0, done.stdout + done.stderr
        yield machine.root


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built distribution and the configuration, as they are copied to a machine."""
    folder = tmp_path_factory.mktemp("copied")
    subprocess.run(["make", "-s", "dist", f"DIST={folder / 'dist'}"], cwd=ROOT, check=True)
    shutil.copytree(ROOT / "config", folder / "config")
    return folder
