"""What is written from the code is as the code has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gate.control.metrics.catalogue import GATE_METRICS, WORKER_METRICS, Kind, Metric
from gate.policy import REASONS, Reason
from gate.wire.http1 import ResponseFault
from gate.wire.tls import HelloFault

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.programs
def test_the_written_files_are_up_to_date() -> None:
    # In a process of its own: click remembers a command's options as it was first called.
    done = subprocess.run(
        [sys.executable, "-m", "gate.docs.generate", "--check"],
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


@pytest.mark.parametrize("reason", REASONS)
def test_what_a_client_sees_is_said_for_every_reason(reason: Reason) -> None:
    page = (ROOT / "gate" / "docs" / "enforcement.md").read_text()
    assert f"\n| `{reason}` | " in page


@pytest.mark.parametrize("fault", HelloFault)
def test_every_fault_of_a_hello_is_explained(fault: HelloFault) -> None:
    assert f"`{fault}`" in (ROOT / "gate" / "docs" / "enforcement.md").read_text()


@pytest.mark.parametrize("fault", ResponseFault)
def test_every_fault_of_a_response_is_explained(fault: ResponseFault) -> None:
    assert f"\n| `{fault}` | " in (ROOT / "gate" / "docs" / "enforcement.md").read_text()
