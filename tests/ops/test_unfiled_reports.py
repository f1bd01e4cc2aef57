"""A gate tells its registry of the names that it blocks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gate.registry.places import ACCESS_FILE
from tests.harness.client import Client, get
from tests.harness.gate_process import Gate, listener
from tests.harness.ports import free_port
from tests.harness.running import fill, log_of, new_gate, status_of
from tests.harness.waiting import wait_for


def reported(gate: Gate) -> list[dict[str, Any]]:
    """What the embedded registry lists."""
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
        listeners=[
            listener("http", "http"),
            listener("balanced", "http", proxy_protocol_from=["127.0.0.2/32"]),
        ],
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
        assert row["destinations"] == []
        with Client(gate.ports["balanced"], source="127.0.0.2") as client:
            client.send(b"PROXY TCP4 192.0.2.7 203.0.113.9 4321 80\r\n")
            assert client.ask(get("www.example.org", "/")).status == 302
        wait_for(lambda: [row["count"] for row in reported(gate)] == [5], "the third one", 30)
        (row,) = reported(gate)
        assert row["destinations"] == [{"address": "203.0.113.9:80", "count": 1}]
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


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_waits_outlives_the_control_process_and_counts_once(
    tmp_path: Path, end: signal.Signals
) -> None:
    """The registry is away at first: the report is made, kept, and told by the next process."""
    port = free_port()
    gate = new_gate(
        tmp_path,
        sync={"registry": f"http://127.0.0.1:{port}"},
        unfiled={"report": {"enabled": True, "seconds": 1, "gate": "edge-1"}},
    )
    fill(gate)
    gate.start()
    try:
        for _ in range(3):
            assert status_of(gate, "www.example.org") == 302
        wait_for(lambda: gate.total("gate_unfiled_reports_total", result="failed"), "a try", 30)
        key = kept_key(gate)
        (control,) = gate.who_listens(gate.admin)
        os.kill(control, end)
        wait_for(
            lambda: gate.ask_admin("/readyz")[0] and gate.who_listens(gate.admin) != [control],
            "the next control process",
            30,
        )
        assert status_of(gate, "www.example.org") == 302
        with registry_at(port) as told:
            wait_for(lambda: sum(count for _, count in told) == 4, "all four requests", 60)
            assert told[0][0] == key
    finally:
        gate.stop()
    assert counts_in_table(gate) == {"www.example.org": 4}


def test_a_control_process_that_is_killed_before_it_has_saved_costs_no_count(
    tmp_path: Path,
) -> None:
    gate = new_gate(tmp_path)
    fill(gate)
    gate.start()
    try:
        for _ in range(2):
            assert status_of(gate, "www.example.org") == 302
        wait_for(lambda: gate.total("gate_unfiled_names") == 1, "the first answer", 30)
        for _ in range(2):
            assert status_of(gate, "example.net") == 302
        # With this question the worker has learnt that the answer before has arrived.
        wait_for(lambda: gate.total("gate_unfiled_names") == 2, "the second answer", 30)
        assert not (gate.directory / "unfiled.json").exists()
        (control,) = gate.who_listens(gate.admin)
        os.kill(control, signal.SIGKILL)
        wait_for(
            lambda: (
                gate.who_listens(gate.admin) not in ([], [control])
                and gate.total("gate_unfiled_names") == 2
            ),
            "the next control process to hear of them",
            30,
        )
        assert status_of(gate, "www.example.org") == 302
    finally:
        assert gate.stop() == 0
    assert counts_in_table(gate) == {"www.example.org": 3, "example.net": 2}


def kept_key(gate: Gate) -> str:
    state = json.loads((gate.directory / "unfiled.json").read_text())
    key: str = state["reports"]["report"]["key"]
    return key


def counts_in_table(gate: Gate) -> dict[str, int]:
    rows = json.loads((gate.directory / "unfiled.json").read_text())["rows"]
    return {row[0]: row[4] for row in rows}


@contextlib.contextmanager
def registry_at(port: int) -> Iterator[list[tuple[str, int]]]:
    """A registry that takes every report: the keys of the different ones, and their requests."""
    told: list[tuple[str, int]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            report = self.headers["Idempotency-Key"], sum(item["count"] for item in body["names"])
            if report not in told:
                told.append(report)
            answer = json.dumps({"taken": len(body["names"]), "refused": []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test tells what it found."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Answers)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
