"""A disk that is full under an import: said at once, nothing lost, and gone on with."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import click.testing
import pytest

from gate.cli.registry import bulk, registry
from tests.harness.gate_process import GATE
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.programs

LINES = 20_000
ROOM = 3 << 20
"""Bytes that a file may have: enough for the list as it is kept, too few for the journal."""
NO_ROOM = 1 << 19
"""Too few for the list (1.2 MB)."""


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    rows = (f"d{n}.cn,京ICP备{10000000 + n}号-1,某某网络公司" for n in range(LINES))
    path.write_text("\n".join(["domain,licence,subject", *rows]), encoding="utf-8")
    assert path.stat().st_size < ROOM
    return path


def test_the_service_goes_on_once_there_is_room_and_the_command_does_not_hang(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = RegistryProcess(tmp_path / "registry").start()
    assert process.process is not None
    pid = process.process.pid
    monkeypatch.setattr(bulk, "_PATIENCE_SECONDS", 0.5)
    runner = click.testing.CliRunner(
        env={"GATE_REGISTRY_URL": process.url, "GATE_REGISTRY_TOKEN": process.admin}
    )
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (NO_ROOM, hard))
        result = runner.invoke(registry, ["import", str(listed)])
        assert result.exit_code == 2, result.output
        assert "can't keep the list on its disk, and nothing was changed" in result.stderr
        assert "File too large" in result.stderr
        assert process.remote.head().filed == 0
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (ROOM, hard))
        result = runner.invoke(registry, ["import", str(listed)])
        assert result.exit_code == 2, result.output  # nothing is wrong with the list
        assert "the registry waits: the database can't be used" in result.stderr
        assert "goes on by itself once that is over" in result.stderr
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        wait_for(lambda: process.remote.head().filed == LINES, "the rest of the list", 60)
        again = runner.invoke(registry, ["import", str(listed)])
        assert again.stdout.startswith(f"0 taken, {LINES} on record already")
    finally:
        process.kill()


def test_the_command_on_the_database_says_so_and_is_done_again(
    listed: Path, tmp_path: Path
) -> None:
    database = tmp_path / "registry.db"
    subprocess.run([GATE, "registry", "migrate", "--db", str(database)], check=True)
    command = [GATE, "registry", "import", str(listed), "--db", str(database)]

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))

    result = subprocess.run(
        command, preexec_fn=lower, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert "the database can't be used and nothing was changed" in result.stderr
    whole = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert f"{LINES} taken" in whole.stdout or "on record already" in whole.stdout
