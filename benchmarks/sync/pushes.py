"""From the operation in the registry to its being in force in every worker of a gate, by push."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.sync.gates import GateProcess, first_priority, free_port, usual_priority
from benchmarks.sync.registries import fill, service
from gate.filings import Change
from gate.registry.commands import Resume, Suspend
from gate.registry.log import Head
from gate.registry.registry import LOCAL
from gate.registry.server import prefer_latency
from gate.registry.service import RegistryService
from gate.settings import RegistrySettings

_DOMAINS = 200


def run(folder: Path, *, rate: float, seconds: float, load: bool) -> dict[str, float]:
    """Latencies in milliseconds at `rate` changes a second; with `load`, wrk keeps the gate's two
    workers as busy as it can on the same two cores."""
    first_priority()
    prefer_latency()
    return asyncio.run(_run(folder, rate, seconds, load))


async def _run(folder: Path, rate: float, seconds: float, load: bool) -> dict[str, float]:
    registry = folder / "registry"
    registry.mkdir(parents=True)
    push = f"127.0.0.1:{free_port()}"
    settings = RegistrySettings.model_validate(
        {"push": [{"name": "gate", "url": f"http://{push}"}]}
    )
    token = registry / "token"
    token.write_text(await asyncio.to_thread(fill, registry, settings, _DOMAINS))
    async with service(registry, settings) as (made, url):
        sync = {
            "registry": url,
            "token_file": str(token),
            "keys": str(registry / "keys" / "public.json"),
            "pull": False,
            "push": {"listen": push},
        }
        gate = GateProcess(folder / "gate", sync, f"127.0.0.1:{free_port()}")
        with gate.running():
            await asyncio.to_thread(gate.wait_ready)
            while made.distribution.gates[0].revision != _DOMAINS:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            wrk = _load(gate.http, seconds + 1) if load else None
            try:
                began = time.perf_counter()
                found = await _measure(made, rate, seconds)
                took = time.perf_counter() - began
            finally:
                if wrk is not None:
                    wrk.wait(60)
    return {"changes": len(found), "per_second": len(found) / took} | {
        f"{since}_{name}_ms": seconds * 1e3
        for since, place in (("from_commit", 0), ("from_request", 1))
        for name, seconds in _spread([times[place] for times in found])
    }


def _spread(seconds: list[float]) -> list[tuple[str, float]]:
    seconds.sort()
    count = len(seconds)
    return [
        ("p50", seconds[count // 2]),
        ("p99", seconds[count * 99 // 100]),
        ("max", seconds[-1]),
    ]


async def _measure(made: RegistryService, rate: float, seconds: float) -> list[tuple[float, float]]:
    """Seconds from each change's commit, and from its request, to the acknowledgement."""
    (gate,) = made.distribution.gates
    asked: dict[int, float] = {}
    committed: dict[int, float] = {}
    found: list[tuple[float, float]] = []
    total = int(rate * seconds)

    def note(head: Head, changes: Sequence[Change]) -> None:
        now = time.perf_counter()
        for revision in range(head.revision - len(changes), head.revision):
            committed[revision + 1] = now

    made.registry.listen(note)

    async def watch() -> None:
        while len(found) < total:
            if gate.revision is not None and asked and min(asked) <= gate.revision:
                now = time.perf_counter()
                for revision in [r for r in asked if r <= gate.revision]:
                    found.append((now - committed[revision], now - asked.pop(revision)))
            await asyncio.sleep(0.001)

    async def change(number: int, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        domain = f"site{number % _DOMAINS}.example{number % _DOMAINS % 97}.cn"
        odd = number // _DOMAINS % 2
        command = Resume(domain=domain) if odd else Suspend(domain=domain, reason="order")
        began = time.perf_counter()
        outcome, _ = await made.perform(command, LOCAL, None)
        asked[outcome.revision] = began

    watcher = asyncio.create_task(watch())
    began = time.perf_counter()
    await asyncio.gather(*(change(n, began + n / rate) for n in range(total)))
    async with asyncio.timeout(60):
        await watcher
    return found


def _load(port: int, seconds: float) -> subprocess.Popen[bytes]:
    """Visitors of unfiled names, each redirected, for as long as the changes come."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is missing: apt-get install wrk")
    return subprocess.Popen(
        [wrk, "-t1", "-c32", f"-d{int(seconds)}s", f"http://127.0.0.1:{port}/"],
        stdout=subprocess.DEVNULL,
        preexec_fn=usual_priority,
    )
