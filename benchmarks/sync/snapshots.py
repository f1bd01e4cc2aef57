"""From the start of a gate that has nothing to its taking traffic on a whole set."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sync.gates import GateProcess
from benchmarks.sync.registries import snapshot_server, write_snapshot
from gate.changes.keys import KeyStore


@dataclass(slots=True, frozen=True)
class Offered:
    """A server that offers a snapshot, and where the gates that take it may be."""

    folder: Path
    url: str
    keys: Path
    filings: int
    compressed: int


@contextlib.contextmanager
def offered(folder: Path, filings: int) -> Iterator[Offered]:
    """Make a snapshot, and offer it."""
    folder.mkdir(parents=True)
    keys = KeyStore(folder / "keys")
    keys.new()
    path = folder / "snapshot.zst"
    manifest = write_snapshot(path, filings)
    with snapshot_server(path, manifest, keys) as url:
        yield Offered(folder, url, keys.public_path, filings, path.stat().st_size)
    shutil.rmtree(folder)


def run(snapshot: Offered) -> dict[str, float]:
    """Seconds from start to ready, and for the snapshot alone (fetched, checked, loaded)."""
    state = snapshot.folder / "gate"
    sync = {"registry": snapshot.url, "keys": str(snapshot.keys)}
    gate = GateProcess(state, sync, "127.0.0.1:9")
    with gate.running() as began:
        gate.wait_ready()
        ready = time.perf_counter() - began
        if gate.figure("gate_replica_entries") != snapshot.filings:
            raise RuntimeError("the gate is ready with another set")
        taken = gate.seconds_logged(r"took a snapshot of .* in ([0-9.]+) s")
    shutil.rmtree(state)
    return {"ready_s": ready, "snapshot_s": taken, "compressed_MB": snapshot.compressed / 1e6}
