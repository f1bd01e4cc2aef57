"""What `process.coalesce_us` saves and what it costs: the gate alone, at several values.

CPU of refusals as fast as they come, where a fast server is woken for every connection; then CPU
and latency at a rate that leaves it idle for half of the time, where every wait is one of the
client's. The values take turns in each round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from . import workloads
from .bench import Bench, Sample
from .process import BenchError
from .servers import Running, Variant

VALUES = (0, 50, 100, 200)
REFUSED_RATE = 2_000.0
SHORT_RATE = 1_000.0
SECONDS = 4.0
CLOSED = "tls-reset"
PACED = {"tls-reset": REFUSED_RATE, "tls-short": SHORT_RATE}

Figures = dict[str, float]


def _closed(bench: Bench, running: Running) -> Figures:
    sample: Sample = workloads.refused(CLOSED, 60_000)(bench, running)
    return {"cpu_us": sample.cpu / sample.units * 1e6}


def _paced(bench: Bench, running: Running, label: str, rate: float) -> Figures:
    count = int(rate * SECONDS * bench.scale)
    cpu = running.cpu()
    found = sorted(bench.run_visits(running, bench.visits(label), count, rate).latency_us)
    return {
        "cpu_us": (running.cpu() - cpu) / count * 1e6,
        "p50_us": found[len(found) // 2],
        "p99_us": found[len(found) * 99 // 100],
    }


def study(
    bench: Bench, servers: list[str], rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Rounds over the values; medians, by the value and what was measured."""
    workloads.prepare_refused(bench)
    bench.visits("tls-short", workloads.short_visits(bench))
    running = {
        value: bench.start(
            "gate", Variant.KEEP, bench.listed, f"process: {{coalesce_us: {value}}}\n"
        )
        for value in VALUES
    }
    found: dict[int, dict[str, list[Figures]]] = {value: {} for value in VALUES}
    failures: dict[int, list[str]] = {value: [] for value in VALUES}
    try:
        for turn in range(rounds + 1):
            shift = turn % len(VALUES)
            for value in VALUES[shift:] + VALUES[:shift]:
                try:
                    one = {"closed": _closed(bench, running[value])}
                    for label, rate in PACED.items():
                        one[label] = _paced(bench, running[value], label, rate)
                except BenchError as error:
                    failures[value].append(str(error))
                    continue
                if turn:  # the first round warms up
                    for kind, figures in one.items():
                        found[value].setdefault(kind, []).append(figures)
                say(f"  coalescing {value} us: {one}")
    finally:
        for server in running.values():
            server.stop()
    return {
        str(value): {kind: _medians(each) for kind, each in kinds.items()}
        | {"failures": failures[value]}
        for value, kinds in found.items()
    }


def _medians(each: list[Figures]) -> Figures:
    return {key: statistics.median(one[key] for one in each) for key in each[0]}


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    heads = [f"{label} at {rate:,.0f}/s: CPU  p50  p99" for label, rate in PACED.items()]
    lines = ["coalesce_us  tls-reset, CPU us  " + "  ".join(heads)]
    for value, item in results.items():
        if "closed" not in item:
            lines.append(f"{value:>11}  failed: {item['failures'][:1]}")
            continue
        line = f"{value:>11}  {item['closed']['cpu_us']:17.1f}"
        for label, head in zip(PACED, heads, strict=True):
            figures = item[label]
            text = f"{figures['cpu_us']:.1f}  {figures['p50_us']:.0f}  {figures['p99_us']:.0f}"
            line += "  " + text.rjust(len(head))
        lines.append(line)
    return "\n".join(lines)
