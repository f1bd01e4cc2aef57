"""A short run of the fuzzer on every target (the long one: `make fuzz`, gate/docs/fuzzing.md)."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from tests.fuzz import run
from tests.fuzz.targets import TARGETS

EXECUTIONS = 10_000
"""Of each target: a few seconds."""
CONNECTIONS = 500
"""Of the target that plays whole connections: each takes as long as a hundred inputs of others."""


@pytest.fixture(autouse=True)
def own_artefacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left over from a run before, nor for one after."""
    monkeypatch.setattr(run, "ARTEFACTS", tmp_path)


pytestmark = pytest.mark.programs


def require_atheris() -> None:
    """Fail with what to do where there is no atheris."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.fail("atheris has wheels for x86-64 Linux only: run the tests there")


@pytest.mark.parametrize("target", TARGETS)
def test_short_run_finds_nothing(target: str) -> None:
    require_atheris()
    executions = CONNECTIONS if target == "connections" else EXECUTIONS
    result = run.fuzz(target, executions=executions, seconds=0, seed=1)
    assert result.finding == "", (run.ARTEFACTS / target / "log").read_text()[-4000:]
    assert result.executions > result.corpus, "it did not get beyond its seeds"


@pytest.mark.parametrize(
    ("target", "seed", "cause"),
    [("planted_fault", b"faul", b"fault"), ("planted_slowness", b"slow down", b" ")],
)
def test_a_target_with_a_fault_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, seed: bytes, cause: bytes
) -> None:
    """A broken invariant, and time that grows faster than the input: both are noticed."""
    require_atheris()
    monkeypatch.setattr(run, "SEEDS", tmp_path / "seeds")
    (run.SEEDS / target).mkdir(parents=True)
    (run.SEEDS / target / "seed").write_bytes(seed)
    result = run.fuzz(target, executions=500_000, seconds=0, seed=1)
    assert cause in Path(result.finding).read_bytes()
