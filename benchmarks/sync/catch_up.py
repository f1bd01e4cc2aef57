"""How long a gate takes for the changes that it missed while it was away."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.sync.gates import GateProcess
from benchmarks.sync.registries import fill, service
from gate.settings import RegistrySettings


def run(folder: Path, *, changes: int) -> dict[str, float]:
    """Seconds from the start of a gate that is `changes` behind until all are in force."""
    return {"seconds": asyncio.run(_round(folder, changes))}


async def _round(folder: Path, changes: int) -> float:
    registry = folder / "registry"
    registry.mkdir(parents=True)
    settings = RegistrySettings()
    token = registry / "token"
    token.write_text(await asyncio.to_thread(fill, registry, settings, 10))

    def missed(gate: GateProcess) -> float:
        with gate.running() as began:
            gate.wait_enforced(10 + changes)
            return time.perf_counter() - began

    def first(gate: GateProcess) -> None:
        with gate.running():
            gate.wait_enforced(10)

    async with service(registry, settings) as (_, url):
        sync = {
            "registry": url,
            "token_file": str(token),
            "keys": str(registry / "keys" / "public.json"),
        }
        gate = GateProcess(folder / "gate", sync, "127.0.0.1:9")
        await asyncio.to_thread(first, gate)
    await asyncio.to_thread(fill, registry, settings, changes, 10)
    async with service(registry, settings) as (_, url):
        gate = GateProcess(folder / "gate", sync | {"registry": url}, "127.0.0.1:9")
        return await asyncio.to_thread(missed, gate)
