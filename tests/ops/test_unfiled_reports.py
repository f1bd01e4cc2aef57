"""A gate tells its registry of the names that it blocks."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from gate.registry.places import ACCESS_FILE
from tests.harness.gate_process import Gate
from tests.harness.ports import free_port
from tests.harness.waiting import wait_for
from tests.supervisor.running import fill, log_of, new_gate, status_of


def reported(gate: Gate) -> list[dict[str, Any]]:
    """What the registry inside the gate lists."""
    access = json.loads((gate.directory / "registry" / ACCESS_FILE).read_text())
    request = urllib.request.Request(
        f"{access['url']}/v1/reports/unfiled",
        headers={"Authorization": f"Bearer {access['token']}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        items: list[dict[str, Any]] = json.load(answer)["items"]
    return items


def test_blocked_names_reach_the_registry_once_each(tmp_path: Path) -> None:
    gate = new_gate(
        tmp_path,
        sync={"registry": "embedded"},
        registry={"listen": f"127.0.0.1:{free_port()}"},
        unfiled={"report": {"enabled": True, "seconds": 1, "gate": "edge-1"}},
    ).start()
    try:
        for _ in range(3):
            assert status_of(gate, "www.example.org") == 302
        wait_for(lambda: reported(gate), "the first report", 30)
        assert status_of(gate, "www.example.org") == 302
        wait_for(lambda: [row["count"] for row in reported(gate)] == [4], "the second one", 30)
        (row,) = reported(gate)
        assert (row["name"], row["reason"]) == ("www.example.org", "unfiled")
        assert [at["gate"] for at in row["gates"]] == ["edge-1"]
        wait_for(lambda: gate.total("gate_unfiled_report_names_waiting") == 0, "nothing to wait")
        assert gate.total("gate_unfiled_reports_total", result="taken") >= 2
        assert gate.total("gate_unfiled_reported_names_total", result="refused") == 0
    finally:
        assert gate.stop() == 0


def test_a_registry_that_is_away_costs_no_counts_and_no_traffic(tmp_path: Path) -> None:
    gate = new_gate(
        tmp_path,
        sync={"registry": f"http://127.0.0.1:{free_port()}"},
        unfiled={"report": {"enabled": True, "seconds": 1}},
    )
    fill(gate)
    gate.start()
    try:
        assert status_of(gate, "example.org") == 302
        wait_for(
            lambda: gate.total("gate_unfiled_reports_total", result="failed") >= 2, "two tries", 30
        )
        assert log_of(gate).count("blocked names are not reported, and wait") == 1
        assert gate.total("gate_unfiled_report_names_waiting") == 1
        assert status_of(gate, "example.com") == 502
    finally:
        assert gate.stop() == 0
