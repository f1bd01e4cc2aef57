"""Metrics, rules and the dashboard, with Prometheus' own tools and a real Prometheus."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate.changes.push import PUSH_PATH
from gate.control.metrics.catalogue import GATE_METRICS, WORKER_METRICS, Kind
from gate.registry.client import Remote
from gate.registry.commands import Approve, FirstFiling, ServiceData, SubjectData
from gate.registry.places import ACCESS_FILE
from tests.harness.certificates import Certificates
from tests.harness.hello import real_hello
from tests.harness.ports import free_port
from tests.harness.prometheus import DASHBOARD, RULES, Prometheus
from tests.harness.stage import Stage
from tests.harness.tools import require
from tests.harness.waiting import patience, wait_for

ROOT = Path(__file__).parents[2]
RULE_TESTS = RULES.with_name("rules.test.yml")
REGISTRY_METRICS = ROOT / "gate" / "registry" / "api" / "metrics.py"
RUNBOOK = ROOT / "gate" / "docs" / "runbook.md"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def panels() -> list[tuple[str, str]]:
    dashboard = json.loads(DASHBOARD.read_text())
    return [
        (f"{panel['title']} {target['refId']}", target["expr"])
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def test_rules_are_well_formed() -> None:
    run = subprocess.run(
        [require("promtool"), "check", "rules", str(RULES)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_alert_fires_and_resolves_as_its_unit_test_says() -> None:
    run = subprocess.run(
        [require("promtool"), "test", "rules", str(RULE_TESTS)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    tested = {
        case["alertname"]
        for group in yaml.safe_load(RULE_TESTS.read_text())["tests"]
        for case in group["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tested == {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_every_alert_has_a_section_in_the_runbook(alert: dict[str, Any]) -> None:
    path, anchor = alert["annotations"]["runbook_url"].split("#")
    assert ROOT / path == RUNBOOK
    titles = re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert anchor in [title.lower() for title in titles]
    assert alert["alert"] in titles


def expressions() -> Iterator[tuple[str, str]]:
    """Everything that asks Prometheus, with where it stands."""
    yield from panels()
    for item in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if item["type"] == "query":
            yield f"variable {item['name']}", item["query"]["query"]
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    for number, case in enumerate(yaml.safe_load(RULE_TESTS.read_text())["tests"]):
        for series in case["input_series"]:
            yield f"test {number}", series["series"]


def known_labels() -> dict[str, set[str]]:
    """The labels of everything that a Prometheus has from a gate and a registry, by name."""
    known = {"up": set[str]()}
    families = re.compile(r'(Gauge|Counter)MetricFamily\(\s*"(\w+)",(.*?)\n        +\)', re.DOTALL)
    for kind, name, rest in families.findall(REGISTRY_METRICS.read_text()):
        labels = re.search(r"labels=\[(.*?)\]", rest)
        known[name + ("_total" if kind == "Counter" else "")] = (
            set(re.findall(r'"(\w+)"', labels[1])) if labels else set()
        )
    for metric in (*WORKER_METRICS, *GATE_METRICS):
        known[metric.name] = set(metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            for part in ("bucket", "sum", "count"):
                known[f"{metric.name}_{part}"] = set(metric.labels) | {"le"}
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            if "record" in rule:
                used = re.findall(r"\bgate_\w+", rule["expr"])
                known[rule["record"]] = set().union(*(known[name] for name in used))
    return known


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_asks_prometheus_names_metrics_and_labels_that_there_are(
    where: str, expression: str
) -> None:
    known = known_labels()
    names = set(re.findall(r"\b(?:up|gate[_:][\w:]+)", expression))
    assert names
    assert names <= known.keys(), where
    groups = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression)
    labels = {label.strip() for group in groups for label in group.split(",")}
    labels |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    assert labels <= {"instance", "job"}.union(*(known[name] for name in names)), where


@pytest.fixture(scope="module")
def watched(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stage, Prometheus]]:
    """A gate under a little load of every kind, watched by a real Prometheus."""
    directory = tmp_path_factory.mktemp("gate")
    push = free_port()
    stage = Stage(
        directory,
        certificates,
        replica_dir=str(directory / "synced"),  # not the one that the stage has prepared
        sync={
            "registry": "embedded",
            "stale_seconds": 5,
            "poll_seconds": 1,
            "push": {"listen": f"127.0.0.1:{push}"},
        },
        registry={"listen": f"127.0.0.1:{free_port()}"},
        unfiled={"report": {"enabled": True, "seconds": 1}},
    )
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), stage.gate.admin)
    over = threading.Event()
    loading = threading.Thread(target=load_on, args=(stage, over))
    try:
        file_a_domain(directory, "filed.com")
        push_nonsense(push)
        loading.start()
        yield stage, prometheus
    finally:
        over.set()
        if loading.is_alive():
            loading.join()
        prometheus.stop()
        stage.close()


def file_a_domain(directory: Path, domain: str) -> None:
    """File a domain in the embedded registry, and have it approved."""
    access = json.loads((directory / "registry" / ACCESS_FILE).read_text())
    registry = Remote(access["url"], access["token"])
    outcome = registry.perform(
        FirstFiling(
            account="ops",
            province="京",
            subject=SubjectData(name="ops", certificate="OPS-1"),
            service=ServiceData(name=domain, domains=(domain,)),
        )
    )
    assert outcome.application is not None
    registry.perform(Approve(application=outcome.application, generate=True))


def push_nonsense(port: int) -> None:
    """Push what is no batch; the gate refuses it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("POST", PUSH_PATH, b"nonsense")
    assert connection.getresponse().status == 400
    connection.close()


def load_on(stage: Stage, over: threading.Event) -> None:
    """Load the gate until it is over."""
    number = 0
    while not over.wait(0.1):
        number += 1
        load(stage, number)


def load(stage: Stage, number: int) -> None:
    """One request and one hello of each kind."""
    for host in ("filed.com", f"a{number}.filed.com", f"unfiled{number}.com"):
        connection = http.client.HTTPConnection(
            "127.0.0.1", stage.gate.ports["http"], timeout=patience(5)
        )
        connection.request("GET", "/", headers={"Host": host})
        connection.getresponse().read()
        connection.close()
        with socket.create_connection(("127.0.0.1", stage.gate.ports["tls"]), patience(5)) as sock:
            sock.sendall(real_hello(host))
            if number % 2:
                try:
                    sock.recv(1)
                except OSError:
                    continue


def test_metrics_keep_prometheus_conventions(watched: tuple[Stage, Prometheus]) -> None:
    stage, _ = watched
    status, text = stage.gate.ask_admin("/metrics")
    assert status == 200
    run = subprocess.run(
        [require("promtool"), "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout + run.stderr == ""


def test_no_label_holds_a_domain_name(watched: tuple[Stage, Prometheus]) -> None:
    stage, _ = watched
    _, text = stage.gate.ask_admin("/metrics")
    assert "filed.com" not in text
    assert "unfiled1" not in text


@pytest.mark.parametrize(("title", "expression"), panels())
def test_every_panel_of_the_dashboard_finds_data(
    watched: tuple[Stage, Prometheus], title: str, expression: str
) -> None:
    _, prometheus = watched
    query = expression.replace("$__rate_interval", "30s").replace("$instance", ".*")
    assert "$" not in query
    wait_for(
        lambda: any(sample["value"][1] != "NaN" for sample in prometheus.query(query)),
        f"data for {title}: {query}",
        30,
    )


def test_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert {"title", "uid", "schemaVersion", "panels", "templating"} <= dashboard.keys()
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert grid["x"] + grid["w"] <= 24
        taken |= cells


def test_an_alert_fires_while_the_registry_is_stopped_and_resolves_after(
    watched: tuple[Stage, Prometheus],
) -> None:
    stage, prometheus = watched

    def firing() -> bool:
        answer = json.loads(prometheus.get("/api/v1/alerts"))
        return any(
            alert["labels"]["alertname"] == "GateSyncStale" and alert["state"] == "firing"
            for alert in answer["data"]["alerts"]
        )

    assert not firing()
    port = int(stage.gate.settings["registry"]["listen"].rpartition(":")[2])
    others = {*stage.gate.workers(), *stage.gate.who_listens(stage.gate.admin)}
    (registry,) = set(stage.gate.who_listens(port)) - others
    os.kill(registry, signal.SIGSTOP)
    try:
        wait_for(firing, "GateSyncStale to fire", 60)
    finally:
        os.kill(registry, signal.SIGCONT)
    wait_for(lambda: not firing(), "GateSyncStale to resolve", 60)
