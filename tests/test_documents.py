"""What is written from the code is as the code has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gate.control.metrics import GATE_METRICS, WORKER_METRICS, Kind, Metric

ROOT = Path(__file__).parent.parent


def test_the_written_files_are_up_to_date() -> None:
    # In a process of its own: click remembers a command's options as it was first called.
    done = subprocess.run(
        [sys.executable, "-m", "gate.documents", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, ""), f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("metric", [*WORKER_METRICS, *GATE_METRICS], ids=lambda m: m.name)
def test_a_metric_is_named_as_prometheus_advises(metric: Metric) -> None:
    assert metric.name.startswith("gate_")
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.help.endswith(".")
    assert not {"domain", "host", "name", "client"} & set(metric.labels)


def test_the_quick_commands_load_little() -> None:
    code = (
        "import sys; from gate.cli import main; main(['version'], standalone_mode=False); "
        "print(sorted({'aiohttp', 'asyncio', 'pydantic', 'sqlalchemy', 'lmdb'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout.splitlines()[-1] == "[]"
