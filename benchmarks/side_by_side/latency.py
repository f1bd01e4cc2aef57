"""Latency that a server adds, at a load that leaves each of them room.

The same rate for all: about half of what the slowest carries on one core. The load is an open
loop, so time in a queue counts. "direct" is the load straight on the upstream; what a server
adds is its figure less that one.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from .bench import DIRECT, Bench
from .process import BenchError
from .servers import Running
from .workloads import short_visits

HTTP_RATE = 10_000.0
TLS_RATE = 3_500.0
SECONDS = 4.0

Measure = Callable[[Bench, Running], list[float]]


def _http(bench: Bench, running: Running) -> list[float]:
    requests = bench.requests("http-filed")
    return bench.run_paced(running, requests, HTTP_RATE, SECONDS * bench.scale).microseconds


def _tls(bench: Bench, running: Running) -> list[float]:
    count = int(TLS_RATE * SECONDS * bench.scale)
    return bench.run_visits(running, bench.visits("tls-short"), count, TLS_RATE).latency_us


KINDS: dict[str, tuple[Measure, float]] = {
    "http-filed": (_http, HTTP_RATE),
    "tls-short": (_tls, TLS_RATE),
}


def prepare(bench: Bench) -> None:
    """Store the traffic."""
    bench.requests("http-filed", bench.skewed_requests(bench.filed))
    bench.visits("tls-short", short_visits(bench))


def study(
    bench: Bench, servers: list[str], rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Rounds over the servers and the direct connection; medians of each round's percentiles."""
    prepare(bench)
    everyone = [DIRECT, *(name for name in servers if name != DIRECT)]
    results: dict[str, Any] = {}
    for kind, (measure, rate) in KINDS.items():
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in everyone}
        failures: dict[str, list[str]] = {name: [] for name in everyone}
        for turn in range(rounds + 1):
            for name in everyone:
                try:
                    latencies = sorted(measure(bench, bench.server(name)))
                except BenchError as error:
                    failures[name].append(str(error))
                    continue
                if turn:  # the first round warms up
                    at = len(latencies)
                    found[name].append((latencies[at // 2], latencies[at * 99 // 100]))
        row = {}
        for name in everyone:
            row[name] = {
                "rate": rate,
                "p50_us": statistics.median(p for p, _ in found[name]) if found[name] else None,
                "p99_us": statistics.median(p for _, p in found[name]) if found[name] else None,
                "failures": failures[name],
            }
            say(f"  latency {kind} {name}: {row[name]}")
        results[kind] = row
    return results


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    lines = ["latency (us)  server    p50    p99  added p50  added p99"]
    for kind, row in results.items():
        base = row[DIRECT]
        for name, item in row.items():
            if item["p50_us"] is None or base["p50_us"] is None:
                lines.append(f"{kind:<12}  {name:<8}  failed: {item['failures'][:1]}")
                continue
            p50, p99 = item["p50_us"], item["p99_us"]
            lines.append(
                f"{kind:<12}  {name:<8}  {p50:5.0f}  {p99:5.0f}"
                f"  {p50 - base['p50_us']:9.0f}  {p99 - base['p99_us']:9.0f}"
            )
    return "\n".join(lines)
