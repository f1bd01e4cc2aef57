"""Many gates on one NATS server: from the operation to the last gate that has it in force.

A simulated gate is the program's own NATS follower, verifier, applier and replica; only its
workers are missing. They share a process for each 500, beside the registry's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks.sync.gates import first_priority, free_port, usual_priority
from benchmarks.sync.registries import fill, service
from gate.changes.errors import SyncError
from gate.changes.snapshot import Manifest
from gate.changes.verifier import Verifier
from gate.filings import Filing, Status
from gate.registry.commands import Resume, Suspend
from gate.registry.registry import LOCAL
from gate.registry.server import prefer_latency
from gate.replica import Replica
from gate.settings import Nats, RegistrySettings
from gate.sync.applier import Applier
from gate.sync.follower import Follower

_DOMAINS = 50
_MAP_BYTES = 64 << 20
_MEMORY = Path("/dev/shm")
_IDLE_SECONDS = 10.0
_TOGETHER = 500
"""Gates of one process."""


class _NoWorkers:
    """A fleet of none, which confirms at once."""

    async def enforce(self, domains: Sequence[str], revoked: Sequence[str], revision: int) -> None:
        pass

    async def enforce_all(self) -> None:
        pass


def run(folder: Path, *, gates: int, changes: int, interval: float) -> dict[str, float]:
    """Milliseconds until the last of `gates` gates has a change; one change each `interval` s."""
    first_priority()
    prefer_latency()
    # In memory: gates have a disk each, and this machine has one.
    memory = _MEMORY if _MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="sync-fleet-", dir=memory) as replicas,
        _nats_server(folder / "nats") as (url, server),
    ):
        run = _registry(folder, Path(replicas), url, server, gates, changes, interval)
        return asyncio.run(run)


@contextlib.contextmanager
def _nats_server(folder: Path) -> Iterator[tuple[str, int]]:
    """A NATS server: its URL and process."""
    program = shutil.which("nats-server", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise RuntimeError("nats-server is missing: apt-get install nats-server")
    folder.mkdir(parents=True)
    port = free_port()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"nats://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait(20)


def _cpu(*processes: int) -> float:
    """Return the CPU seconds that processes have had."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def _registry(
    folder: Path,
    replicas: Path,
    url: str,
    server: int,
    gates: int,
    changes: int,
    interval: float,
) -> dict[str, float]:
    registry = folder / "registry"
    registry.mkdir()
    settings = RegistrySettings.model_validate({"nats": {"servers": [url]}})
    await asyncio.to_thread(fill, registry, settings, _DOMAINS)
    async with service(registry, settings) as (made, _):
        client = await _connect(url)
        # A gate's reports, in order: the revision that it has in force, and when.
        reports: dict[int, list[tuple[int, float]]] = {}
        ready: set[int] = set()
        shares = [
            range(first, min(first + _TOGETHER, gates)) for first in range(0, gates, _TOGETHER)
        ]

        async def hear(message: Msg) -> None:
            gate, revision, when = json.loads(message.data)
            if gate < 0:
                ready.add(gate)
            else:
                reports.setdefault(gate, []).append((revision, when))

        await client.subscribe("bench.arrived", cb=hear)
        command = [sys.executable, "-m", "benchmarks.sync.fleet", url, str(folder), str(replicas)]
        processes = [
            await asyncio.create_subprocess_exec(
                *command,
                *(str(share.start), str(share.stop), made.feed.head.epoch),
                preexec_fn=usual_priority,
            )
            for share in shares
        ]
        try:
            async with asyncio.timeout(240):
                while len(ready) < len(shares):
                    await asyncio.sleep(0.05)
                    for process in processes:
                        if process.returncode is not None:
                            raise RuntimeError(
                                f"a process of simulated gates ended with {process.returncode}"
                            )
            children = [process.pid for process in processes]
            before = _cpu(server), _cpu(*children)
            await asyncio.sleep(_IDLE_SECONDS)
            idle = [
                (after - sooner) / _IDLE_SECONDS
                for after, sooner in zip((_cpu(server), _cpu(*children)), before, strict=True)
            ]
            before = _cpu(server), _cpu(*children)
            asked: dict[int, float] = {}
            for number in range(changes):
                domain = f"site{number % _DOMAINS}.example{number % _DOMAINS % 97}.cn"
                odd = number // _DOMAINS % 2
                what = Resume(domain=domain) if odd else Suspend(domain=domain, reason="order")
                began = time.time()
                outcome, _ = await made.perform(what, LOCAL, None)
                asked[outcome.revision] = began
                await asyncio.sleep(interval)
            newest = max(asked)
            async with asyncio.timeout(120):
                while sum(found[-1][0] >= newest for found in reports.values()) < gates:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            busy = [
                after - sooner
                for after, sooner in zip((_cpu(server), _cpu(*children)), before, strict=True)
            ]
        finally:
            for process in processes:
                if process.returncode is None:
                    process.terminate()
                await process.wait()
            await client.close()
    times = {
        revision: [
            next(when for reached, when in found if reached >= revision) - began
            for found in reports.values()
        ]
        for revision, began in asked.items()
    }
    last = sorted(map(max, times.values()))
    every = sorted(seconds for found in times.values() for seconds in found)
    return {
        "gates": gates,
        "changes": changes,
        "gate_p50_ms": every[len(every) // 2] * 1e3,
        "last_p50_ms": last[len(last) // 2] * 1e3,
        "last_p99_ms": last[len(last) * 99 // 100] * 1e3,
        "last_max_ms": last[-1] * 1e3,
        # CPU: for a gate and change, with what else was asked meanwhile; and of a gate in a second
        # without any change.
        "server_us": busy[0] / gates / changes * 1e6,
        "gate_us": busy[1] / gates / changes * 1e6,
        "server_idle_us": idle[0] / gates * 1e6,
        "gate_idle_us": idle[1] / gates * 1e6,
    }


async def _connect(url: str) -> Client:
    return await nats.connect(url)


async def _gates(url: str, folder: Path, replicas: Path, share: range, epoch: str) -> None:
    """The simulated gates of these numbers, which tell of every revision in force."""
    client = await _connect(url)
    settings = Nats(servers=(url,))
    verifier_keys = folder / "registry" / "keys" / "public.json"
    filings = sorted(
        (
            Filing(f"site{n}.example{n % 97}.cn", Status.FILED, f"京ICP备{10_000_000 + n}号-1")
            for n in range(_DOMAINS)
        ),
        key=lambda filing: filing.domain,
    )
    followers = []
    for number in share:
        replica = Replica.open(replicas / f"gate-{number}", writable=True, map_size=_MAP_BYTES)
        applier = Applier(replica, _NoWorkers())
        manifest = Manifest(epoch, _DOMAINS, _DOMAINS, "0" * 64, 0)
        await applier.load(manifest, filings)
        verifier = Verifier(verifier_keys)

        async def take(
            sealed: bytes,
            number: int = number,
            applier: Applier = applier,
            verifier: Verifier = verifier,
        ) -> int:
            revision = await applier.apply(verifier.batch(sealed))
            report = json.dumps([number, revision, time.time()])
            await client.publish("bench.arrived", report.encode())
            return revision

        followers.append(Follower(settings, take, replica.position, trouble=_complain))
    tasks = [asyncio.create_task(follower.run()) for follower in followers]
    while not all(follower.connected for follower in followers):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await client.publish("bench.arrived", json.dumps([-1 - share.start, 0, 0]).encode())
    await asyncio.gather(*tasks)


def _complain(error: SyncError) -> None:
    print(error, file=sys.stderr)


if __name__ == "__main__":
    _numbers = range(int(sys.argv[4]), int(sys.argv[5]))
    asyncio.run(_gates(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), _numbers, sys.argv[6]))
