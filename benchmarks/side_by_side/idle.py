"""Thousands of open TLS tunnels with nothing on them: memory for each, and CPU for all."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from .bench import Bench
from .process import LOAD_CORE, BenchError
from .servers import Running, Variant

WANTED = 10_000
IDLE_SECONDS = 10.0
WARM = 200


def tunnels_possible() -> int:
    """10,000, or what the limit on descriptors leaves: a proxy needs two for each tunnel."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return min(WANTED, (limit - 300) // 200 * 100)


class _Holder:
    def __init__(self, bench: Bench, running: Running, count: int) -> None:
        command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m"]
        command += ["benchmarks.side_by_side.hold", str(running.setup.tls_port), str(count)]
        command += [",".join(bench.filed[:100])]
        self._name = running.name
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, command: str) -> int:
        """Send a command; gives the number it succeeded on."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(command + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise BenchError(f"{self._name}: the tunnel holder ended during {command!r}")
        return int(answer)

    def end(self) -> None:
        """Close all tunnels."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()


def measure(bench: Bench, name: str) -> dict[str, Any]:
    """One server, freshly started. Raises BenchError when a tunnel is lost."""
    count = tunnels_possible()
    running = bench.start(name, Variant.KEEP, bench.listed)
    try:
        with_warm = _Holder(bench, running, WARM)
        with_warm.tell("open")
        with_warm.tell("close")
        time.sleep(1.0)
        before, opened_before = running.memory(), running.descriptors()
        cpu = running.cpu()
        holder = _Holder(bench, running, count)
        try:
            opened = holder.tell("open")
            if opened != count:
                raise BenchError(f"{name}: {opened} of {count} tunnels opened")
            opening = running.cpu() - cpu
            after, descriptors = running.memory(), running.descriptors() - opened_before
            cpu = running.cpu()
            time.sleep(IDLE_SECONDS)
            idle = running.cpu() - cpu
            alive = holder.tell("check")
            if alive != count:
                raise BenchError(f"{name}: {alive} of {count} tunnels alive")
            used = running.memory()
            holder.tell("close")
        finally:
            holder.end()
    finally:
        running.stop()
    return {
        "tunnels": count,
        "bytes_per_tunnel": (after.pss - before.pss) / count,
        "bytes_per_tunnel_after_use": (used.pss - before.pss) / count,
        "descriptors_per_tunnel": descriptors / count,
        "idle_cpu_percent": idle / IDLE_SECONDS * 100,
        "open_cpu_us": opening / count * 1e6,
    }


def study(
    bench: Bench, servers: list[str], rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Every server in turn; gives the results by server."""
    results: dict[str, Any] = {}
    for name in servers:
        try:
            results[name] = measure(bench, name)
        except BenchError as error:
            results[name] = {"failures": [str(error)]}
        say(f"  idle {name}: {results[name]}")
    return results


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    lines = ["idle tunnels  number  bytes each  after use  descriptors  idle CPU %"]
    for name, item in results.items():
        if "tunnels" not in item:
            lines.append(f"{name:<12}  failed: {item['failures'][0]}")
            continue
        lines.append(
            f"{name:<12}  {item['tunnels']:>6}  {item['bytes_per_tunnel']:>10.0f}"
            f"  {item['bytes_per_tunnel_after_use']:>9.0f}"
            f"  {item['descriptors_per_tunnel']:>11.1f}  {item['idle_cpu_percent']:>10.2f}"
        )
    return "\n".join(lines)
