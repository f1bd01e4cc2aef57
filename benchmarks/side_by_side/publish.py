"""Keeps the latest results: one JSON document, and the chart that the README shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import coalescing, idle, latency, lists
from .chart import ORDER, draw
from .report import table
from .servers import FLOOR
from .workloads import WORKLOADS

LATEST = Path(__file__).with_name("latest.json")
TABLES = Path(__file__).with_name("latest.md")
CHART = Path(__file__).with_name("latest.svg")


def publish(document: Mapping[str, Any]) -> None:
    """Put a run's rows and studies in the place of older ones; each keeps its own run's stamp."""
    kept: dict[str, Any] = {"rows": []}
    if LATEST.exists():
        kept = json.loads(LATEST.read_text(encoding="utf-8"))
    rows = {_key(row): row for row in kept["rows"]}
    stamp = {key: document[key] for key in ("machine", "names", "scale")}
    for row in document["rows"]:
        rows[_key(row)] = {**row, **stamp}
    order = [workload.name for workload in WORKLOADS]
    kept["rows"] = sorted(rows.values(), key=lambda r: (order.index(r["workload"]), _key(r)))
    for name, found in document["studies"].items():
        kept.setdefault("studies", {})[name] = {**stamp, "results": found}
    LATEST.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    TABLES.write_text(_tables(kept), encoding="utf-8")
    CHART.write_text(draw(*_charted(kept["rows"])), encoding="utf-8")


def _key(row: Mapping[str, Any]) -> str:
    return f"{row['workload']} {row['connections']:05d} {row['workers']}"


def _charted(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str]:
    shown = [row for row in rows if row["connections"] == 64 and row["workers"] == 1]
    dates = sorted({row["machine"]["date"][:10] for row in shown})
    names = f"{shown[0]['names']:,}" if shown else "0"
    return shown, (
        f"One core, one worker, {names} names, 64 connections; median of interleaved rounds; "
        f"measured {' to '.join(dates[:1] + dates[1:][-1:])}."
    )


def _tables(kept: Mapping[str, Any]) -> str:
    """The document as Markdown, each block under what it was measured on."""
    parts = ["# Latest results\n\nWritten by `--publish`; the method is in `../README.md`."]
    stamps: dict[str, list[Mapping[str, Any]]] = {}
    for row in kept["rows"]:
        stamps.setdefault(_stamp(row), []).append(row)
    for stamp, rows in stamps.items():
        shown_servers = [*ORDER, *([FLOOR] if any(FLOOR in x["servers"] for x in rows) else [])]
        parts.append(f"{stamp}\n\n```\n{table(rows, shown_servers)}\n```")
    shown = {
        "idle": idle.table,
        "latency": latency.table,
        "coalescing": coalescing.table,
        "lists": lists.table,
    }
    for name, study in kept.get("studies", {}).items():
        parts.append(f"{_stamp(study)}\n\n```\n{shown[name](study['results'])}\n```")
    return "\n\n".join(parts) + "\n"


def _stamp(item: Mapping[str, Any]) -> str:
    machine = item["machine"]
    workers = f", {item['workers']} worker(s)" if "workers" in item else ""
    return (
        f"{machine['date']} UTC, {machine['cores']} cores of {machine['cpu']}, Linux "
        f"{machine['kernel']}, Python {machine['python']}; gate at {machine['gate']}, "
        f"{machine['haproxy'].partition(' - ')[0]}, {machine['nginx']}, {machine['envoy']}"
        f"{workers}; load average {machine['load_after']}, rounds of {item['scale']:.0%}"
    )
