"""What the length of the list costs: memory, start, and a change of 1,000 names while serving.

Memory is of a fresh server, all processes. `pss` counts shared pages once; for the gate, whose
list lies in a file, the file's own size is shown too: its pages are page cache that all workers
share. The change adds 500 names and removes 500 at the largest list, under 2,000 requests a
second; it is done when a probe of the last added and the last removed names says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import dataset, envoy, gate, haproxy, nginx
from .bench import Bench
from .http_load import request
from .process import BenchError
from .servers import Running, Variant
from .workloads import probe

SIZES = (1_000, 100_000, 1_000_000)
GATE_SIZE = 10_000_000
CHANGES = 1_000
RATE = 2_000.0
DEADLINE = 120.0

Change = Callable[[Running, list[str], list[str]], None]
CHANGERS: dict[str, Change] = {
    "gate": gate.change,
    "haproxy": haproxy.change,
    "nginx": nginx.change,
    "envoy": envoy.change,
}


def _folder_bytes(path: Path) -> int:
    return sum(f.stat().st_blocks * 512 for f in path.rglob("*") if f.is_file())


def _status(running: Running, host: str) -> int:
    return probe(running, request(host, close=True))[0]


def _check(running: Running, filed: list[str], unfiled: list[str]) -> None:
    wrong = [h for h in filed if _status(running, h) != 200]
    wrong += [h for h in unfiled if _status(running, h) != 302]
    if wrong:
        raise BenchError(f"{running.name}: judged wrong: {', '.join(wrong[:5])}")


def measure(bench: Bench, name: str, size: int, listed: list[str]) -> dict[str, Any]:
    """Start a server with a list, look at it, and at a million names change the list."""
    running = bench.start(name, Variant.KEEP, listed)
    try:
        _check(running, listed[-20:], dataset.unfiled_hosts(20, listed[:1000]))
        memory = running.memory()
        result: dict[str, Any] = {
            "start_seconds": running.start_seconds,
            "rss": memory.rss,
            "pss": memory.pss,
            "private": memory.private,
            "processes": len(running.pids()),
        }
        if name == "gate":
            result["replica_bytes"] = _folder_bytes(running.setup.folder / "state" / "replica")
        if size == 1_000_000:
            result.update(_change(bench, running, listed))
    finally:
        running.stop()
    return result


def _change(bench: Bench, running: Running, listed: list[str]) -> dict[str, Any]:
    half = CHANGES // 2
    added = [f"added-{number}.example" for number in range(half)]
    removed = listed[-half - 1000 : -1000]
    _check(running, removed[-1:], added[-1:])
    served = bench.requests("lists", [request(host) for host in listed[:500]])
    # what the background load costs alone
    cpu = running.cpu()
    bench.run_paced(running, served, RATE, 3.0)
    background = (running.cpu() - cpu) / 3.0
    outcome: list[str] = []
    worst: list[float] = []
    load_seconds = 6.0

    def load() -> None:
        try:
            found = bench.run_paced(running, served, RATE, load_seconds)
            worst.append(max(found.microseconds))
        except BenchError as error:
            outcome.append(str(error))

    cpu = running.cpu()
    under_load = time.monotonic()
    thread = threading.Thread(target=load)
    thread.start()
    time.sleep(1.0)
    began = time.monotonic()
    CHANGERS[running.name](running, added, removed)
    while _status(running, added[-1]) != 200 or _status(running, removed[-1]) != 302:
        if time.monotonic() - began > DEADLINE:
            raise BenchError(f"{running.name}: the change is not in force after {DEADLINE:.0f} s")
        time.sleep(0.005)
    in_force = time.monotonic() - began
    thread.join()
    time.sleep(1.0)
    _check(running, added[-20:], removed[-20:])
    window = min(load_seconds, time.monotonic() - under_load)
    return {
        "change_seconds": in_force,
        "change_cpu_seconds": running.cpu() - cpu - background * window,
        "slowest_request_ms": worst[0] / 1000 if worst else None,
        "failures": outcome,
        "memory_after_change": running.memory().pss,
    }


def study(
    bench: Bench, servers: list[str], rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """All sizes on all servers; ten million names on the gate alone."""
    results: dict[str, Any] = {name: {} for name in servers}
    for size in (*SIZES, GATE_SIZE):
        listed = dataset.allowlist(size, bench.names)
        for name in servers:
            if size == GATE_SIZE and name != "gate":
                continue
            try:
                results[name][str(size)] = measure(bench, name, size, listed)
            except BenchError as error:
                results[name][str(size)] = {"failures": [str(error)]}
            say(f"  list of {size:,} on {name}: {results[name][str(size)]}")
    return results


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    lines = ["server       names   start s  PSS MiB  change s  its CPU s  slowest request ms"]
    for name, sizes in results.items():
        for size, item in sizes.items():
            if "pss" not in item:
                lines.append(f"{name:<8} {int(size):>9,}  failed: {item['failures'][0]}")
                continue
            line = f"{name:<8} {int(size):>9,}  {item['start_seconds']:7.2f}"
            line += f"  {item['pss'] / 2**20:7.1f}"
            if "change_seconds" in item:
                slowest = item["slowest_request_ms"]
                line += f"  {item['change_seconds']:8.3f}  {item['change_cpu_seconds']:9.3f}"
                line += f"  {slowest:18.1f}" if slowest is not None else f"  {item['failures']}"
            lines.append(line)
    return "\n".join(lines)
