"""One stage of the benchmark in a process of its own, so that none finds another's memory.

python -m benchmarks.lookup.stage build|lookups|sets|memory DIRECTORY SIZE ROUNDS COUNT
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.lookup import contenders
from benchmarks.lookup.hosts import filings, listed_names, make_hosts
from benchmarks.lookup.memory import measure_workers
from benchmarks.lookup.timing import time_rounds
from gate.filings import Change, Status
from gate.replica import Replica

WORKERS = 2
_BATCH = 1000


def build(path: Path, size: int, rounds: int, count: int) -> dict[str, Any]:
    """Load the list, apply a batch, open the result."""
    names = listed_names(size)
    with Replica.open(path, writable=True) as replica:
        load = _timed(lambda: replica.load(filings(names), epoch="bench", revision=1))
        batches = []
        step = max(1, size // _BATCH)
        for revision in range(1, 6):
            changes = [
                Change(name, Status.FILED, f"京ICP备{revision}号-1")
                for name in names[revision::step][:_BATCH]
            ]
            batches.append(
                _timed(
                    lambda changes=changes, revision=revision: replica.apply(
                        changes, epoch="bench", from_revision=revision, to_revision=revision + 1
                    )
                )
            )
        info = replica.info()
    began = time.perf_counter()
    Replica.open(path, writable=False).close()
    return {
        "load": load,
        "batch_of_1000": sorted(batches, key=lambda batch: batch["wall"])[len(batches) // 2],
        "open_seconds": time.perf_counter() - began,
        "file_bytes": info.file_bytes,
        "set_bytes": info.set_bytes,
        "bytes_per_name": info.set_bytes / size,
    }


def _timed(work: Any) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def lookups(path: Path, size: int, rounds: int, count: int) -> dict[str, Any]:
    """The decider, and bare LMDB."""
    hosts = make_hosts(listed_names(size), count)
    with Replica.open(path, writable=False) as replica:
        hits = time_rounds(contenders.on_hits(replica, hosts), rounds)
        misses = time_rounds(contenders.on_misses(replica, hosts), rounds)
    bare = time_rounds(contenders.on_lmdb(path, hosts), rounds)
    return {"hits": hits, "misses": misses, "lmdb": bare}


def sets(path: Path, size: int, rounds: int, count: int) -> dict[str, Any]:
    """Names in a process's own memory."""
    names = listed_names(size)
    hosts = make_hosts(names, count)
    figures = time_rounds(contenders.on_sets(names, hosts), rounds)
    return {"sets": figures, **contenders.size_of_sets(names)}


def memory(path: Path, size: int, rounds: int, count: int) -> dict[str, Any]:
    """Several workers on one replica."""
    return {"workers": [dataclasses.asdict(one) for one in measure_workers(path, WORKERS)]}


STAGES = {"build": build, "lookups": lookups, "sets": sets, "memory": memory}


if __name__ == "__main__":
    stage, directory, *numbers = sys.argv[1:]
    json.dump(STAGES[stage](Path(directory), *map(int, numbers)), sys.stdout)
