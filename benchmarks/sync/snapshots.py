"""From the start of a gate that has nothing to its taking traffic on a whole set."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from benchmarks.sync.gates import GateProcess
from benchmarks.sync.registries import snapshot_server, write_snapshot
from gate.sync.keys import KeyStore


def run(folder: Path, *, filings: int, rounds: int) -> dict[str, list[float]]:
    """Seconds from start to ready, and for the snapshot alone (fetched, checked, loaded)."""
    folder.mkdir(parents=True)
    keys = KeyStore(folder / "keys")
    keys.new()
    path = folder / "snapshot.zst"
    manifest = write_snapshot(path, filings)
    ready, taken = [], []
    with snapshot_server(path, manifest, keys) as url:
        for _ in range(rounds):
            state = folder / "gate"
            gate = GateProcess(
                state, {"registry": url, "keys": str(keys.public_path)}, "127.0.0.1:9"
            )
            with gate.running() as began:
                gate.wait_ready()
                ready.append(time.perf_counter() - began)
                if gate.figure("gate_replica_entries") != filings:
                    raise RuntimeError("the gate is ready with another set")
                taken.append(gate.seconds_logged(r"took a snapshot of .* in ([0-9.]+) s"))
            shutil.rmtree(state)
    return {"ready_s": ready, "snapshot_s": taken, "compressed_bytes": [path.stat().st_size]}
