"""What the names take in memory, with several processes that use all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from gate.policy import Decider
from gate.replica import Replica

VERDICTS = 100_000
"""That are cached."""


@dataclass(slots=True, frozen=True)
class Mapped:
    """Kilobytes of one process: of the replica's mapping, and of everything else it has."""

    replica_rss: int
    replica_pss: int
    private: int
    cached: int = 0
    """Of `private`, what the cached verdicts added."""


def measure_workers(path: Path, workers: int) -> list[Mapped]:
    """Start processes that read the whole replica and fill a cache; look while all have it."""
    command = [sys.executable, "-m", "benchmarks.lookup.memory", str(path)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    try:
        for worker in running:
            _read(worker)
        for worker in running:
            assert worker.stdin is not None
            worker.stdin.write("look\n")
            worker.stdin.flush()
        return [Mapped(**json.loads(_read(worker))) for worker in running]
    finally:
        for worker in running:
            worker.kill()
            worker.communicate()


def _read(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError("a process of the memory measurement ended early")
    return line


def mapped() -> Mapped:
    """What the kernel says of this process (proc(5), /proc/pid/smaps)."""
    replica = {"Rss": 0, "Pss": 0}
    private = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        key, _, value = line.partition(":")
        if " " in key:  # a mapping's first line: addresses, rights, offset, device, inode, path
            inside = line.endswith("/data.mdb")
        elif inside and key in replica:
            replica[key] += int(value.split()[0])
        elif not inside and key in ("Private_Clean", "Private_Dirty"):
            private += int(value.split()[0])
    return Mapped(replica["Rss"], replica["Pss"], private)


def main(path: str) -> None:
    with Replica.open(path, writable=False) as replica:
        decider = Decider(replica)
        for filing in replica.items():
            decider.judge(filing.domain.encode())
        names = replica.items()
        hosts = [b"www." + filing.domain.encode() for filing in islice(names, VERDICTS)]
        before = mapped().private
        for host in hosts:
            decider.decide(host)
        cached = mapped().private - before
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(asdict(replace(mapped(), cached=cached))), flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1])
