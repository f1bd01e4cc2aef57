"""How long a gate takes to start on a filled replica, and what a scrape of its metrics costs.

    .venv/bin/python -m benchmarks.start [--names 1000000] [--rounds 5] [--only list,away,inside]

Three gates, each with two workers: one on an imported list, one that follows a registry which is
away, one with its embedded registry. `traffic` is the time from the start of the program to the
first answer of the data plane (a redirect, so that no origin has a part in it), `ready` the time
to the first 200 of /readyz. The scrapes are of the last gate, each on a new connection, with
requests for many unfiled names going through it. Medians, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.sync.gates import GateProcess, free_port
from gate.filings import Filing, Status
from gate.replica import LOCAL_EPOCH, Replica
from gate.settings import EMBEDDED, NONE

_SCRAPES: Final = 100
_WAIT_SECONDS: Final = 60.0


@dataclass(slots=True)
class Times:
    """Seconds of each round."""

    traffic: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)


def fill(folder: Path, names: int) -> None:
    """Put so many names in the replica, where it stands; in a new one, as an import does."""
    filings = (
        Filing(f"site-{number:09d}.cn", Status.FILED, f"京ICP备{number % 10**8:08d}号-1")
        for number in range(names)
    )
    folder.mkdir(exist_ok=True)
    with contextlib.closing(Replica.open(folder / "replica", writable=True)) as replica:
        position = replica.position()
        epoch, revision = (position.epoch, position.revision) if position else (LOCAL_EPOCH, 1)
        replica.load(filings, epoch=epoch, revision=revision)


def answers(port: int, path: str, host: str, wanted: int) -> bool:
    """Is there an answer with the wanted status?"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status == wanted
    except OSError:
        return False
    finally:
        connection.close()


def wait(port: int, path: str, host: str, wanted: int) -> float:
    """The time at which there is such an answer."""
    end = time.perf_counter() + _WAIT_SECONDS
    while not answers(port, path, host, wanted):
        if time.perf_counter() > end:
            raise TimeoutError(f"port {port} does not answer {wanted}")
        time.sleep(0.002)
    return time.perf_counter()


def measure(gate: GateProcess, times: Times) -> None:
    """One start."""
    with gate.running() as began:
        times.traffic.append(wait(gate.http, "/", "unfiled.example.com", 302) - began)
        times.ready.append(wait(gate.admin, "/readyz", "127.0.0.1", 200) - began)


@contextlib.contextmanager
def visitors(gate: GateProcess) -> Iterator[None]:
    """Requests for one unfiled name after the other, as fast as they are answered."""
    stop = threading.Event()

    def visit() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            answers(gate.http, "/", f"unfiled-{number % 20_000}.example.com", 302)

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def scrapes(gate: GateProcess) -> list[float]:
    """Seconds of each scrape of a gate under load."""
    taken: list[float] = []
    with gate.running():
        gate.wait_ready()
        with visitors(gate):
            time.sleep(3)
            for _ in range(_SCRAPES):
                began = time.perf_counter()
                if not answers(gate.admin, "/metrics", "127.0.0.1", 200):
                    raise RuntimeError("no answer to a scrape")
                taken.append(time.perf_counter() - began)
                time.sleep(0.05)
    return taken


def shown(seconds: Sequence[float]) -> str:
    """The median, and the lowest and the highest, in ms."""
    low, middle, high = (
        round(1000 * value) for value in (min(seconds), statistics.median(seconds), max(seconds))
    )
    return f"{middle} ms [{low}, {high}]"


def main() -> None:
    """Runs it and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="list,away,inside")
    options = parser.parse_args()
    registries = {
        "list": NONE,
        "away": f"http://127.0.0.1:{free_port()}",
        "inside": EMBEDDED,
    }
    print(f"{options.names} names, {options.rounds} rounds; ms as median [lowest, highest]")
    with tempfile.TemporaryDirectory() as name:
        for kind in options.only.split(","):
            folder = Path(name) / kind
            sync = {"registry": registries[kind]}
            gate = GateProcess(folder, sync, f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
            if kind == "inside":
                with gate.running():
                    gate.wait_ready()
            fill(folder, options.names)
            times = Times()
            for _ in range(options.rounds):
                measure(gate, times)
            print(f"{kind:8} traffic {shown(times.traffic)}, ready {shown(times.ready)}")
        print(f"scrape   {shown(scrapes(gate))}")


if __name__ == "__main__":
    main()
