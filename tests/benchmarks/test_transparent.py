"""The benchmark of transparent listeners: a hurried round of it, in networks of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.side_by_side.bench import Sample
from benchmarks.side_by_side.rounds import Cell
from benchmarks.side_by_side.workloads import WORKLOADS
from benchmarks.transparent.command import RATIOS, table_head, table_row
from benchmarks.transparent.contestants import CONTESTANTS
from tests.harness.namespaces import InnerNetworks

ROOT = Path(__file__).parent.parent.parent


def test_ratios_are_of_medians_and_a_round_that_failed_is_marked() -> None:
    def cell(*microseconds: float) -> Cell:
        return Cell([Sample(10, cost / 1e5, 0, 1) for cost in microseconds])

    cells = {name: cell(50) for name in CONTESTANTS}
    cells["gate"] = cell(10, 20, 90)
    cells["gate-own"] = cell(22)
    cells["gate-client"] = cell(30)
    cells["nginx-client"] = cell(40)
    cells["haproxy"].failures.append("no")
    row = table_row(WORKLOADS[0], cells)
    assert "20.0 (10.0-90.0)" in row
    assert "50.0 (50.0-50.0)!" in row
    assert row.endswith("| 1.10 | 0.75 |")
    assert row.count("|") == table_head(list(CONTESTANTS)).splitlines()[0].count("|")


def test_every_ratio_is_of_servers_that_there_are() -> None:
    assert {name for one, other, _ in RATIOS for name in (one, other)} <= set(CONTESTANTS)


def test_a_hurried_round_measures_a_transparent_gate() -> None:
    with InnerNetworks():
        pass  # or this machine has none, and the test is skipped
    options = ["--hurry", "--rounds", "1", "--size", "500", "--servers", "gate-client"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.transparent", "--only", "tls-short", *options],
        capture_output=True, text=True, check=False, timeout=120, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1].split("|")
    assert row[1].strip() == "tls-short"
    assert 0 < float(row[2].split()[0]) < 10_000


pytestmark = pytest.mark.programs
