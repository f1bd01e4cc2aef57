"""What the length of the list costs: memory, start, and a change of 1,000 names while serving.

Memory is of a fresh server, all processes. `pss` counts shared pages once; for the gate, whose
list lies in a file, the file's own size is shown too: its pages are page cache that all workers
share. The change adds 500 names and removes 500 at the largest list, under 2,000 requests a
second; it is done when a probe of the last added and the last removed names says so.
"""

from __future__ import annotations

import resource
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
    running = bench.start(name, Variant.FED, listed)
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


def _batch(listed: list[str], number: int) -> tuple[list[str], list[str]]:
    half = CHANGES // 2
    added = [f"added-{number}-{place}.example" for place in range(half)]
    end = -1000 - number * half
    return added, listed[end - half : end]


def _apply(running: Running, added: list[str], removed: list[str]) -> float:
    """Change the list; gives the seconds until probes of the last names say so."""
    _check(running, removed[-1:], added[-1:])
    began = time.monotonic()
    CHANGERS[running.name](running, added, removed)
    while _status(running, added[-1]) != 200 or _status(running, removed[-1]) != 302:
        if time.monotonic() - began > DEADLINE:
            raise BenchError(f"{running.name}: the change is not in force after {DEADLINE:.0f} s")
        time.sleep(0.005)
    return time.monotonic() - began


def _change(bench: Bench, running: Running, listed: list[str]) -> dict[str, Any]:
    """One change under load for its time, and one without load for its CPU."""
    served = bench.requests("lists", [request(host) for host in listed[:500]])
    failures: list[str] = []
    slowest: list[float] = []

    def load() -> None:
        try:
            slowest.append(max(bench.run_paced(running, served, RATE, 8.0).microseconds))
        except BenchError as error:
            failures.append(str(error))

    thread = threading.Thread(target=load)
    thread.start()
    time.sleep(1.5)
    added, removed = _batch(listed, 0)
    try:
        in_force = _apply(running, added, removed)
    finally:
        thread.join()
    _check(running, added[-20:], removed[-20:])

    cpu, tools = running.cpu(), _children_cpu()
    quiet = _apply(running, *_batch(listed, 1))
    time.sleep(1.0)
    return {
        "change_seconds": in_force,
        "change_seconds_without_load": quiet,
        "change_cpu_seconds": running.cpu() - cpu + _children_cpu() - tools,
        "slowest_request_ms": slowest[0] / 1000 if slowest else None,
        "failures": failures,
        "pss_after_change": running.memory().pss,
    }


def _children_cpu() -> float:
    """CPU of the tools that this process has run, such as the gate's importer."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


def list_bytes(sizes: dict[str, Any], size: str) -> int | None:
    """What the list itself takes: the growth over the shortest list, and the replica's file.

    For the gate this counts pages of the file that are mapped twice; it is an upper bound.
    """
    least, item = sizes.get(str(SIZES[0]), {}), sizes[size]
    if "pss" not in least or "pss" not in item:
        return None
    return int(item["pss"] - least["pss"] + item.get("replica_bytes", 0))


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    lines = [
        "server        names  start s  PSS MiB  list MiB  change s  its CPU s  slowest request ms"
    ]
    for name, sizes in results.items():
        for size, item in sizes.items():
            if "pss" not in item:
                lines.append(f"{name:<8} {int(size):>10,}  failed: {item['failures'][0]}")
                continue
            line = f"{name:<8} {int(size):>10,}  {item['start_seconds']:7.2f}"
            line += f"  {item['pss'] / 2**20:7.1f}  {(list_bytes(sizes, size) or 0) / 2**20:8.1f}"
            if "change_seconds" in item:
                slowest = item["slowest_request_ms"]
                line += f"  {item['change_seconds']:8.3f}  {item['change_cpu_seconds']:9.3f}"
                line += f"  {slowest:18.1f}" if slowest is not None else f"  {item['failures']}"
            lines.append(line)
    return "\n".join(lines)
